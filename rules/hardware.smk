# Layer 6: hardware. Whatever is measured has the machine to itself, this one or a board.


rule probe_platform:
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
    retries: RETRIES
    threads: 1
    resources:
        **one_board(),


rule time_libraries:
    input:
        libraries=libraries("library"),
        records=libraries("record"),
        checks=libraries("check"),
        references=libraries("reference"),
        exported=exported,
        uncompressed=study.path("reference", compression=study.BASELINE),
        platform=study.path("platform"),
    output:
        timing=study.path("timing"),
        provenance=provenance("timing"),
    log:
        "results/logs/time_libraries/{dataset}/{model}/{platform}.log",
    benchmark:
        "results/benchmarks/time_libraries/{dataset}/{model}/{platform}.tsv"
    wildcard_constraints:
        platform=HERE,
    conda:
        "../envs/timing.yaml"
    threads: workflow.cores
    params:
        settings=settings(
            platform=study.platform,
            timing="platforms.{platform}.timing",
            configurations=study.choices,
            peers=study.peers,
            tolerance=f"compiler.check.tolerance.{study.dtype(study.BASELINE)}",
            seed="seed",
        ),
        code=code("time_libraries", study.connection, study.runtimes),
    script:
        "../workflow/scripts/time_libraries.py"


use rule time_libraries as time_libraries_remotely with:
    wildcard_constraints:
        platform=ELSEWHERE,
    retries: RETRIES
    threads: 1
    resources:
        **one_board(),
