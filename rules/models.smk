# Layer 2: models and neural architectures.


rule train_model:
    input:
        dataset=study.path("dataset"),
    output:
        checkpoint=study.path("checkpoint"),
        history=study.path("history"),
        provenance=provenance("checkpoint"),
    log:
        "results/logs/train_model/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/train_model/{dataset}/{model}.tsv"
    wildcard_constraints:
        dataset=TRAINED,
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        settings=settings(recipe=study.recipe, width="models.width", stem=study.stem, seed="seed"),
        code=code("train_model", "dlas.datasets.{dataset}", "dlas.models.{model}"),
        resume_from=study.path("training_state"),
    script:
        "../workflow/scripts/train_model.py"


# As in download_archive: the checksum identifies the file, and the workflow's machine downloads it.
rule download_weights:
    output:
        weights=study.path("weights"),
        provenance=provenance("weights"),
    log:
        "results/logs/download_weights/{model}.log",
    benchmark:
        "results/benchmarks/download_weights/{model}.tsv"
    localrule: True
    conda:
        "../envs/training.yaml"
    params:
        settings=settings(weights=study.published),
        resume_from=study.path("partial_weights"),
    script:
        "../workflow/scripts/download_weights.py"


rule load_weights:
    input:
        dataset=study.path("dataset"),
        weights=weights,
    output:
        checkpoint=study.path("checkpoint"),
        history=study.path("history"),
        provenance=provenance("checkpoint"),
    log:
        "results/logs/load_weights/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/load_weights/{dataset}/{model}.tsv"
    wildcard_constraints:
        dataset=LOADED,
    conda:
        "../envs/training.yaml"
    params:
        settings=settings(published=study.from_torchvision, width="models.width", stem=study.stem),
        code=code("load_weights", "dlas.datasets.{dataset}", "dlas.models.{model}"),
    script:
        "../workflow/scripts/load_weights.py"
