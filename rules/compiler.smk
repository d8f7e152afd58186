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
        provenance=provenance("network"),
    log:
        "results/logs/import_network/{dataset}/{model}/{compression}.log",
    benchmark:
        "results/benchmarks/import_network/{dataset}/{model}/{compression}.tsv"
    conda:
        "../envs/training.yaml"
    params:
        settings=settings(width="models.width", stem=study.stem, images="compiler.check.images"),
        code=code(
            "import_network",
            "dlas.datasets.{dataset}",
            "dlas.models.{model}",
            "dlas.compression.{compression}",
        ),
    script:
        "../workflow/scripts/import_network.py"


# What the peers of the compiled networks load.
rule export_network:
    input:
        dataset=study.path("dataset"),
        chosen=study.path("chosen", compression=study.BASELINE),
    output:
        onnx=study.path("exported", extension="onnx"),
        pt2=study.path("exported", extension="pt2"),
    log:
        "results/logs/export_network/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/export_network/{dataset}/{model}.tsv"
    conda:
        "../envs/training.yaml"
    params:
        settings=settings(width="models.width", stem=study.stem),
        code=code(
            "export_network",
            "dlas.datasets.{dataset}",
            "dlas.models.{model}",
            f"dlas.compression.{study.BASELINE}",
        ),
    script:
        "../workflow/scripts/export_network.py"


# Whatever it measures is in a folder of records as well, which is no output: a job that is killed goes on from there.
rule tune_network:
    input:
        network=study.path("network"),
        parameters=study.path("parameters"),
        platform=study.path("platform"),
    output:
        choices=study.path("tuning"),
        curve=study.path("tuning_curve"),
        provenance=provenance("tuning"),
    log:
        "results/logs/tune_network/{dataset}/{model}/{compression}/{platform}/{primitive}-{format}.log",
    benchmark:
        "results/benchmarks/tune_network/{dataset}/{model}/{compression}/{platform}/{primitive}-{format}.tsv"
    wildcard_constraints:
        platform=HERE,
    conda:
        "../envs/compiling.yaml"
    threads: workflow.cores
    params:
        settings=settings(
            platform=study.platform,
            scheduler=study.scheduler,
            tuning=study.tuning,
            seed="seed",
        ),
        code=code(
            "tune_network",
            "dlas.primitives.{primitive}",
            "dlas.primitives.{format}",
            study.scheduler_module,
            study.connection,
        ),
        records=study.path("records"),
        kernels=code_of(
            "dlas.primitives.{primitive}", "dlas.primitives.{format}", "dlas.compiler.build"
        ),
    script:
        "../workflow/scripts/tune_network.py"


use rule tune_network as tune_network_remotely with:
    wildcard_constraints:
        platform=ELSEWHERE,
    retries: RETRIES
    threads: 1
    resources:
        **one_board(),


rule build_library:
    input:
        network=study.path("network"),
        parameters=study.path("parameters"),
        choices=tuned("tuning"),
    output:
        library=study.path("library"),
        record=study.path("record"),
        provenance=provenance("library"),
    log:
        "results/logs/build_library/{dataset}/{model}/{compression}/{platform}/{primitive}-{format}/{tuning}.log",
    benchmark:
        "results/benchmarks/build_library/{dataset}/{model}/{compression}/{platform}/{primitive}-{format}/{tuning}.tsv"
    conda:
        "../envs/compiling.yaml"
    params:
        settings=settings(platform=study.compiled_for),
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
        provenance=provenance("check"),
    log:
        "results/logs/check_libraries/{dataset}/{model}/{compression}/{platform}.log",
    benchmark:
        "results/benchmarks/check_libraries/{dataset}/{model}/{compression}/{platform}.tsv"
    wildcard_constraints:
        platform=HERE,
    conda:
        "../envs/compiling.yaml"
    params:
        settings=settings(platform=study.platform, check=study.check, configurations=study.choices),
        code=code("check_libraries", study.connection),
    script:
        "../workflow/scripts/check_libraries.py"


use rule check_libraries as check_libraries_remotely with:
    wildcard_constraints:
        platform=ELSEWHERE,
    retries: RETRIES
    resources:
        **one_board(),
