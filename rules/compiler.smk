# Layers 4 and 5: algorithms and data formats, compiled by the systems software.


rule import_network:
    input:
        dataset=study.path("dataset"),
        chosen=study.path("chosen"),
        summary=study.path("summary"),
    output:
        network=study.path("network"),
        parameters=study.path("parameters"),
        reference=study.path("reference"),
    log:
        "results/logs/import_network/{dataset}/{model}/{compression}.log",
    benchmark:
        "results/benchmarks/import_network/{dataset}/{model}/{compression}.tsv"
    conda:
        "../envs/training.yaml"
    params:
        settings=settings(width="models.width", images="compiler.check.images"),
        code=code(
            "import_network",
            "dlas.datasets.{dataset}",
            "dlas.models.{model}",
            "dlas.compression.{compression}",
        ),
    script:
        "../workflow/scripts/import_network.py"


rule build_library:
    input:
        network=study.path("network"),
        parameters=study.path("parameters"),
    output:
        library=study.path("library"),
        record=study.path("record"),
    log:
        "results/logs/build_library/{dataset}/{model}/{compression}/{platform}/{primitive}-{format}/{tuning}.log",
    benchmark:
        "results/benchmarks/build_library/{dataset}/{model}/{compression}/{platform}/{primitive}-{format}/{tuning}.tsv"
    conda:
        "../envs/compiling.yaml"
    params:
        settings=settings(
            target="platforms.{platform}.target",
            threads="platforms.{platform}.threads",
        ),
        code=code("build_library", "dlas.primitives.{primitive}", "dlas.primitives.{format}"),
    script:
        "../workflow/scripts/build_library.py"


rule check_libraries:
    input:
        libraries=libraries("library"),
        records=libraries("record"),
        reference=study.path("reference"),
        summary=study.path("summary"),
        dataset=study.path("dataset"),
        platform=study.path("platform"),
    output:
        check=study.path("check"),
    log:
        "results/logs/check_libraries/{dataset}/{model}/{compression}/{platform}.log",
    benchmark:
        "results/benchmarks/check_libraries/{dataset}/{model}/{compression}/{platform}.tsv"
    conda:
        "../envs/compiling.yaml"
    params:
        settings=settings(check=study.check, configurations=study.choices),
        code=code("check_libraries"),
    script:
        "../workflow/scripts/check_libraries.py"
