# Layer 2: models and neural architectures.


rule train_model:
    input:
        dataset=study.path("dataset"),
    output:
        checkpoint=study.path("checkpoint"),
        history=study.path("history"),
    log:
        "results/logs/train_model/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/train_model/{dataset}/{model}.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    params:
        settings=settings(recipe=study.recipe, width="models.width", seed="seed"),
        code=code("train_model", "dlas.datasets.{dataset}", "dlas.models.{model}"),
        unfinished=study.path("unfinished_training"),
    script:
        "../workflow/scripts/train_model.py"
