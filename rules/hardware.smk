# Layer 6: hardware. A measurement has its machine to itself, whether this one or a board.


# The target is resolved once. Each job on its own might find another one, on another node or with
# fewer cores.
rule resolve_target:
    output:
        target=study.path("target"),
        provenance=provenance("target"),
    log:
        "results/logs/resolve_target/{platform}.log",
    benchmark:
        "results/benchmarks/resolve_target/{platform}.tsv"
    wildcard_constraints:
        platform=MEASURED,
    conda:
        "../envs/compiling.yaml"
    threads: workflow.cores
    params:
        settings=settings(platform=study.compiled_for),
        code=code("resolve_target"),
    script:
        "../workflow/scripts/resolve_target.py"


rule probe_platform:
    input:
        target=study.path("target"),
    output:
        platform=study.path("platform"),
        provenance=provenance("platform"),
    log:
        "results/logs/probe_platform/{platform}.log",
    benchmark:
        "results/benchmarks/probe_platform/{platform}.tsv"
    wildcard_constraints:
        platform=HERE,
    conda:
        "../envs/compiling.yaml"
    threads: workflow.cores
    params:
        settings=settings(platform=study.platform),
        code=code("probe_platform", study.connection),
    script:
        "../workflow/scripts/probe_platform.py"


use rule probe_platform as probe_platform_remotely with:
    wildcard_constraints:
        platform=ELSEWHERE,
    threads: 1
    resources:
        **one_board(),


# The platforms of one machine are timed in one job: they take turns in its rounds.
rule time_libraries:
    input:
        timed=lambda wildcards: resolve_or_exit(study.timed_files, wildcards),
        uncompressed=study.path("reference", compression=study.BASELINE),
    output:
        timing=study.path("timing"),
        statuses=study.path("statuses"),
        provenance=provenance("timing"),
    log:
        "results/logs/time_libraries/{dataset}/{model}/{machine}.log",
    benchmark:
        "results/benchmarks/time_libraries/{dataset}/{model}/{machine}.tsv"
    wildcard_constraints:
        machine=MACHINES_HERE,
    conda:
        "../envs/timing.yaml"
    threads: workflow.cores
    params:
        settings=settings(
            platforms=study.timed_platforms,
            tolerance=f"compiler.check.tolerance.{study.dtype(CONFIG, study.BASELINE)}",
            seed="seed",
        ),
        code=code("time_libraries", study.connection, study.runtimes),
    script:
        "../workflow/scripts/time_libraries.py"


use rule time_libraries as time_libraries_remotely with:
    wildcard_constraints:
        machine=ELSEWHERE,
    threads: 1
    resources:
        **one_board("machine"),
