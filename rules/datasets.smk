# Layer 1: datasets and problem spaces.


# Its code is not a parameter: the checksum alone identifies the archive. On a cluster the machine
# of the workflow downloads, because nodes may have no access to the internet.
rule download_archive:
    output:
        archive=study.path("archive"),
        provenance=provenance("archive"),
    log:
        "results/logs/download_archive/{dataset}.log",
    benchmark:
        "results/benchmarks/download_archive/{dataset}.tsv"
    wildcard_constraints:
        dataset=DOWNLOADED,
    localrule: True
    conda:
        "../envs/training.yaml"
    params:
        settings=settings(sha256="datasets.{dataset}.sha256"),
        mirrors=mirrors,
        resume_from=study.path("partial_archive"),
    script:
        "../workflow/scripts/download_archive.py"


rule prepare_dataset:
    input:
        archive=archive,
    output:
        dataset=study.path("dataset"),
        provenance=provenance("dataset"),
    log:
        "results/logs/prepare_dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/prepare_dataset/{dataset}.tsv"
    conda:
        "../envs/training.yaml"
    threads: lambda wildcards: study.preparing_threads(wildcards.dataset)
    params:
        settings=settings(dataset=study.preparation, seed="seed"),
        code=code("prepare_dataset", "dlas.datasets.{dataset}"),
    script:
        "../workflow/scripts/prepare_dataset.py"
