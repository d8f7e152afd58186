# Layers 4 and 5: algorithms and data formats, compiled by the systems software.


rule import_network:
    input:
        dataset=study.path("dataset"),
        chosen=study.path("chosen"),
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
        settings=settings(
            width="models.width",
            stem=study.stem,
            steps=study.steps,
            images="compiler.check.images",
        ),
        code=code(
            "import_network",
            "dlas.datasets.{dataset}",
            "dlas.models.{model}",
            study.modules,
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


# Measurements also go to a folder of records that is no output. A killed job resumes from there.
rule tune_network:
    input:
        network=study.path("network"),
        parameters=study.path("parameters"),
        target=study.path("target"),
        platform=study.path("platform"),
        combined=files(study.combined_tunings),
    output:
        choices=study.path("tuning"),
        curve=study.path("tuning_curve"),
        provenance=provenance("tuning"),
    log:
        "results/logs/tune_network/{dataset}/{model}/{compression}/{platform}/"
        "{primitive}-{format}/{tuning}.log",
    benchmark:
        "results/benchmarks/tune_network/{dataset}/{model}/{compression}/{platform}/"
        "{primitive}-{format}/{tuning}.tsv"
    wildcard_constraints:
        platform=HERE,
    conda:
        "../envs/compiling.yaml"
    threads: workflow.cores
    params:
        settings=settings(
            platform=study.platform,
            tuning=study.tuning,
            combined=study.combined_tunings,
            seed="seed",
        ),
        code=code(
            "tune_network",
            "dlas.compiler.schedulers.{tuning}",
            "dlas.primitives.{primitive}",
            "dlas.primitives.{format}",
            study.connection,
        ),
        records=study.path("records"),
        kernels=code_of(
            "dlas.primitives.{primitive}", "dlas.primitives.{format}", "dlas.compiler.build"
        ),
        cache=study.path("kernels"),
        compiler=code_of("dlas.compiler.kernel_cache"),
    script:
        "../workflow/scripts/tune_network.py"


use rule tune_network as tune_network_remotely with:
    wildcard_constraints:
        platform=ELSEWHERE,
    threads: 1
    resources:
        **one_board(),


# A library that cannot be built has its reason in the record, and no file.
rule build_libraries:
    input:
        network=study.path("network"),
        parameters=study.path("parameters"),
        target=study.path("target"),
        tunings=files(study.tunings),
    output:
        libraries=directory(study.path("libraries")),
        builds=study.path("builds"),
        provenance=provenance("builds"),
    log:
        "results/logs/build_libraries/{dataset}/{model}/{compression}/{platform}.log",
    benchmark:
        "results/benchmarks/build_libraries/{dataset}/{model}/{compression}/{platform}.tsv"
    conda:
        "../envs/compiling.yaml"
    params:
        settings=settings(
            configurations=study.libraries, tunings=study.tunings, linker=study.linker
        ),
        code=code("build_libraries", study.library_modules),
        kernels=study.path("kernels"),
        compiler=code_of("dlas.compiler.kernel_cache"),
    script:
        "../workflow/scripts/build_libraries.py"


rule check_libraries:
    input:
        libraries=study.path("libraries"),
        builds=study.path("builds"),
        reference=study.path("reference"),
        summary=study.path("summary"),
        dataset=study.path("dataset"),
        target=study.path("target"),
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
        settings=settings(platform=study.platform, check=study.check, slow=study.slow_libraries),
        code=code("check_libraries", study.connection),
    script:
        "../workflow/scripts/check_libraries.py"


use rule check_libraries as check_libraries_remotely with:
    wildcard_constraints:
        platform=ELSEWHERE,
    resources:
        **one_board(),
