# Layer 6: hardware. Whatever is measured here has the machine to itself.


rule probe_platform:
    output:
        platform=study.path("platform"),
    log:
        "results/logs/probe_platform/{platform}.log",
    benchmark:
        "results/benchmarks/probe_platform/{platform}.tsv"
    conda:
        "../envs/compiling.yaml"
    threads: workflow.cores
    params:
        settings=settings(
            target="platforms.{platform}.target",
            threads="platforms.{platform}.threads",
        ),
        code=code("probe_platform"),
    script:
        "../workflow/scripts/probe_platform.py"


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
    log:
        "results/logs/time_libraries/{dataset}/{model}/{platform}.log",
    benchmark:
        "results/benchmarks/time_libraries/{dataset}/{model}/{platform}.tsv"
    conda:
        "../envs/timing.yaml"
    threads: workflow.cores
    params:
        settings=settings(
            timing="platforms.{platform}.timing",
            configurations=study.choices,
            peers=study.peers,
            tolerance=f"compiler.check.tolerance.{study.dtype(study.BASELINE)}",
            seed="seed",
        ),
        code=code("time_libraries"),
    script:
        "../workflow/scripts/time_libraries.py"
