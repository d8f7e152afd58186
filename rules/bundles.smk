# Measurements of other machines, packed and read: see docs/how-to/machines.md.


# No target of `all`: `make bundle NAME=...` asks for it.
rule pack_bundle:
    input:
        study=study.path("study"),
        noise_floor=study.path("noise_floor"),
        peers=study.path("peers"),
        samples=study.path("samples"),
        curves=study.path("accuracy_curves"),
        answers=study.path("answers_table"),
        traced=study.path("provenance"),
        networks=networks("chosen"),
        target=lambda wildcards: packed("target", wildcards),
        platform=lambda wildcards: packed("platform", wildcards),
    output:
        bundle=directory(study.path("bundle")),
    log:
        "results/logs/pack_bundle/{bundle}.log",
    benchmark:
        "results/benchmarks/pack_bundle/{bundle}.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(packing=study.packing),
        compared=code_by_name(study.compared_modules),
        code=code("pack_bundle"),
    script:
        "../workflow/scripts/pack_bundle.py"


rule read_bundle:
    input:
        bundles=bundle_files,
    output:
        study=study.path("bundled_study"),
        noise_floor=study.path("bundled_noise_floor"),
        peers=study.path("bundled_peers"),
        samples=study.path("bundled_samples"),
        curves=study.path("bundled_curves"),
        correct=study.path("bundled_correct"),
        platform=study.path("platform"),
    log:
        "results/logs/read_bundle/{platform}.log",
    benchmark:
        "results/benchmarks/read_bundle/{platform}.tsv"
    wildcard_constraints:
        platform=BUNDLED,
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(reading=study.reading),
        compared=code_by_name(study.compared_modules),
        code=code("read_bundle"),
    script:
        "../workflow/scripts/read_bundle.py"
