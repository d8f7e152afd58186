# Layers 4 and 5: algorithms and data formats, compiled by the systems software.


rule import_network:
    input:
        dataset=study.path("dataset"),
        checkpoint=study.path("checkpoint"),
    output:
        network=study.path("network"),
        parameters=study.path("parameters"),
        reference=study.path("reference"),
        summary=study.path("summary"),
    log:
        "results/logs/import_network/{dataset}/{model}/{compression}.log",
    benchmark:
        "results/benchmarks/import_network/{dataset}/{model}/{compression}.tsv"
    conda:
        "../envs/training.yaml"
    params:
        settings=settings(width="models.width", images="compiler.check.images"),
        code=code("import_network", "dlas.datasets.{dataset}", "dlas.models.{model}"),
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
        code=code("build_library", "dlas.primitives.{primitive}"),
    script:
        "../workflow/scripts/build_library.py"


rule check_library:
    input:
        library=study.path("library"),
        record=study.path("record"),
        reference=study.path("reference"),
        summary=study.path("summary"),
        dataset=study.path("dataset"),
        platform=study.path("platform"),
    output:
        check=study.path("check"),
    log:
        "results/logs/check_library/{dataset}/{model}/{compression}/{platform}/{primitive}-{format}/{tuning}.log",
    benchmark:
        "results/benchmarks/check_library/{dataset}/{model}/{compression}/{platform}/{primitive}-{format}/{tuning}.tsv"
    conda:
        "../envs/compiling.yaml"
    params:
        settings=settings(
            tolerance="compiler.check.tolerance",
            top1_tolerance="compiler.check.top1_tolerance",
        ),
        code=code("check_library"),
    script:
        "../workflow/scripts/check_library.py"
