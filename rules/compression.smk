# Layer 3: model optimizations, one technique or several in steps. All levels of a ladder are made,
# and the study continues with the chosen one.


rule compress_model:
    input:
        dataset=study.path("dataset"),
        start=start,
        previous_point=previous_point,
        baseline_point=baseline_point,
    output:
        compressed=study.path("compressed"),
        point=study.path("point"),
        answers=study.path("answers"),
        provenance=provenance("compressed"),
    log:
        "results/logs/compress_model/{dataset}/{model}/{compression}/{level}.log",
    benchmark:
        "results/benchmarks/compress_model/{dataset}/{model}/{compression}/{level}.tsv"
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        settings=settings(
            technique=study.technique,
            steps=study.steps,
            start=study.start_steps,
            ladder=study.has_ladder,
            recipe=study.fine_tuning,
            give_up=study.give_up,
            dtype=study.dtype,
            width="models.width",
            stem=study.stem,
            seed="seed",
        ),
        code=code(
            "compress_model",
            "dlas.datasets.{dataset}",
            "dlas.models.{model}",
            study.modules,
        ),
        resume_from=study.path("compression_state"),
    script:
        "../workflow/scripts/compress_model.py"


rule choose_level:
    input:
        baseline_point=study.path("point", compression=study.BASELINE, level=study.SINGLE),
        start=level_zero("compressed", "chosen"),
        start_point=level_zero("point", "summary"),
        compressed=levels("compressed"),
        points=levels("point"),
    output:
        curve=study.path("curve"),
        chosen=study.path("chosen"),
        summary=study.path("summary"),
        provenance=provenance("curve"),
    log:
        "results/logs/choose_level/{dataset}/{model}/{compression}.log",
    benchmark:
        "results/benchmarks/choose_level/{dataset}/{model}/{compression}.tsv"
    wildcard_constraints:
        dataset=MADE,
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(tolerance=study.tolerance),
        code=code("choose_level"),
    script:
        "../workflow/scripts/choose_level.py"


# No target of `all`: `make networks` asks for it.
rule pack_networks:
    input:
        files=[networks(name) for name in ("chosen", "summary", "curve")],
        answers=study.path("answers_table"),
    output:
        archive=study.path("networks_archive"),
    log:
        "results/logs/pack_networks.log",
    benchmark:
        "results/benchmarks/pack_networks.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(terms=study.network_terms, networks=study.network_files),
        code=code("pack_networks"),
    script:
        "../workflow/scripts/pack_networks.py"


# The content of the archive decides about reruns, not its date: a copy of it changes nothing.
rule unpack_network:
    input:
        archive=ancient(networks_archive),
    output:
        curve=study.path("curve"),
        chosen=study.path("chosen"),
        summary=study.path("summary"),
        provenance=provenance("curve"),
    log:
        "results/logs/unpack_network/{dataset}/{model}/{compression}.log",
    benchmark:
        "results/benchmarks/unpack_network/{dataset}/{model}/{compression}.tsv"
    wildcard_constraints:
        dataset=ARCHIVED,
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(networks=archived_networks),
        code=code("unpack_network"),
    script:
        "../workflow/scripts/unpack_network.py"
