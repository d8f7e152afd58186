# Layer 1: datasets and problem spaces.


rule prepare_dataset:
    output:
        dataset=study.path("dataset"),
    log:
        "results/logs/prepare_dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/prepare_dataset/{dataset}.tsv"
    conda:
        "../envs/training.yaml"
    params:
        settings=settings(dataset="datasets.{dataset}", seed="seed"),
        code=code("prepare_dataset", "dlas.datasets.{dataset}"),
    script:
        "../workflow/scripts/prepare_dataset.py"
