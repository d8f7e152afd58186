# What the measurements say: one table, one figure and one verdict per observation.


rule tabulate_study:
    input:
        summaries=every("summary"),
        builds=every("builds"),
        checks=every("check"),
        timings=every_timing("timing"),
        statuses=every_timing("statuses"),
        targets=every("target"),
        platforms=every("platform"),
        bundled=[bundled(f"bundled_{name}") for name in study.BUNDLED_TABLES],
    output:
        study=report(
            study.path("study"),
            caption="../report/study_table.rst",
            category="Tables",
            labels={"table": "Study: all configurations, measured or not"},
        ),
        noise_floor=report(
            study.path("noise_floor"),
            caption="../report/noise_floor.rst",
            category="Tables",
            labels={"table": "Noise floor: how far two timings of the same library differ"},
        ),
        peers=report(
            study.path("peers"),
            caption="../report/peers.rst",
            category="Tables",
            labels={"table": "Peers: latency of the uncompressed networks in other runtimes"},
        ),
        samples=study.path("samples"),
    log:
        "results/logs/tabulate_study.log",
    benchmark:
        "results/benchmarks/tabulate_study.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(
            rows=study.row_files, samples=study.sample_files, bundles=study.bundled_tables
        ),
        code=code("tabulate_study"),
    script:
        "../workflow/scripts/tabulate_study.py"


rule trace_rows:
    input:
        provenance=every_provenance,
    output:
        traced=study.path("provenance"),
    log:
        "results/logs/trace_rows.log",
    benchmark:
        "results/benchmarks/trace_rows.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(rows=study.traced_rows),
        code=code("trace_rows"),
    script:
        "../workflow/scripts/trace_rows.py"


# Without networks of its own the study shows those of its first bundle.
rule tabulate_curves:
    input:
        curves=networks("curve") or bundled("bundled_curves")[:1],
    output:
        curves=report(
            study.path("accuracy_curves"),
            caption="../report/accuracy_curves_table.rst",
            category="Tables",
            labels={"table": "Accuracy: every level of every compression"},
        ),
    log:
        "results/logs/tabulate_curves.log",
    benchmark:
        "results/benchmarks/tabulate_curves.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(networks=study.networks),
        code=code("tabulate_curves"),
    script:
        "../workflow/scripts/tabulate_curves.py"


rule tabulate_answers:
    input:
        datasets=list(study.prepared(CONFIG).values()),
        answers=answer_files,
        archive=ancient(networks_archive),
    output:
        answers=study.path("answers_table"),
    log:
        "results/logs/tabulate_answers.log",
    benchmark:
        "results/benchmarks/tabulate_answers.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(
            datasets=study.prepared, networks=study.answers, archived=archived_networks
        ),
        code=code("tabulate_answers"),
    script:
        "../workflow/scripts/tabulate_answers.py"


rule tabulate_tuning:
    input:
        curves=every_tuning("tuning_curve"),
        found=every_tuning("tuning"),
    output:
        curves=report(
            study.path("tuning_curves"),
            caption="../report/tuning_curves_table.rst",
            category="Tables",
            labels={"table": "Tuning: every trial of a search for schedules"},
        ),
        layers=report(
            study.path("tuning_layers"),
            caption="../report/tuning_layers.rst",
            category="Tables",
            labels={"table": "Tuning: what each search reached for each layer"},
        ),
    log:
        "results/logs/tabulate_tuning.log",
    benchmark:
        "results/benchmarks/tabulate_tuning.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(configurations=study.tunings_shown),
        code=code("tabulate_tuning"),
    script:
        "../workflow/scripts/tabulate_tuning.py"


# What verdicts, tables and the recommendation are made of.
TABLES = {
    "study": study.path("study"),
    "noise_floor": study.path("noise_floor"),
    "curves": study.path("accuracy_curves"),
    "samples": study.path("samples"),
    "answers": study.path("answers_table"),
}


# Of each machine with a bundle: the accuracy of the networks that it trained.
ACCURACIES = [*bundled("bundled_curves"), *bundled("bundled_correct")]


rule assess_observation:
    input:
        **TABLES,
        bundled=ACCURACIES,
    output:
        assessment=study.path("assessment"),
    log:
        "results/logs/assess_observation/{number}.log",
    benchmark:
        "results/benchmarks/assess_observation/{number}.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(
            observation="observations.{number}",
            bundles=study.bundled_tables,
            groups=study.descriptions.groups,
            steps=study.descriptions.steps,
        ),
        code=code("assess_observation", study.observation_module),
    script:
        "../workflow/scripts/assess_observation.py"


rule draw_observation:
    input:
        assessment=study.path("assessment"),
    output:
        caption=study.path("caption"),
        pdf=study.path("plot", extension="pdf"),
        svg=report(
            study.path("plot", extension="svg"),
            caption="../report/observation.rst",
            category=lambda wildcards: study.observation_category(CONFIG, wildcards.number),
            labels=lambda wildcards: {"figure": study.observation_label(CONFIG, wildcards.number)},
        ),
        png=study.path("plot", extension="png"),
    log:
        "results/logs/draw_observation/{number}.log",
    benchmark:
        "results/benchmarks/draw_observation/{number}.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(
            observation="observations.{number}",
            claim=study.descriptions.claim,
            words=study.descriptions.words,
        ),
        code=code("draw_observation", study.observation_module),
    script:
        "../workflow/scripts/draw_observation.py"


rule compare_machines:
    input:
        **TABLES,
        bundled=ACCURACIES,
        assessments=observations("assessment"),
        platforms=[study.path("platform", platform=name) for name in study.platforms(CONFIG)],
    output:
        table=study.path("by_machine"),
        page=report(
            study.path("by_machine_page"),
            caption="../report/by_machine.rst",
            category="Tables",
            labels={"table": "Observations: the verdicts on each machine"},
        ),
    log:
        "results/logs/compare_machines.log",
    benchmark:
        "results/benchmarks/compare_machines.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(
            machines=study.machine_platforms,
            bundles=study.bundled_tables,
            platforms=study.platforms,
            observations="observations",
            claims=study.descriptions.claims,
            groups=study.descriptions.groups,
            steps=study.descriptions.steps,
            words=study.descriptions.words,
        ),
        code=code("compare_machines", study.observation_modules),
    script:
        "../workflow/scripts/compare_machines.py"


rule draw_overview:
    input:
        study=study.path("study"),
        peers=study.path("peers"),
    output:
        pdf=study.path("overview", extension="pdf"),
        svg=report(
            study.path("overview", extension="svg"),
            caption="../report/overview.rst",
            category="Across the stack",
            labels={"figure": "Latency: every network, compression, primitive and platform"},
        ),
        png=study.path("overview", extension="png"),
    log:
        "results/logs/draw_overview.log",
    benchmark:
        "results/benchmarks/draw_overview.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(words=study.descriptions.words),
        code=code("draw_overview"),
    script:
        "../workflow/scripts/draw_overview.py"


rule draw_curves:
    input:
        curves=study.path("accuracy_curves"),
    output:
        pdf=study.path("accuracy_curves_plot", extension="pdf"),
        svg=report(
            study.path("accuracy_curves_plot", extension="svg"),
            caption="../report/accuracy_curves.rst",
            category="3 Model optimizations",
            labels={"figure": "Accuracy: every network against its compression"},
        ),
        png=study.path("accuracy_curves_plot", extension="png"),
    log:
        "results/logs/draw_curves.log",
    benchmark:
        "results/benchmarks/draw_curves.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(
            tolerance="compression.tolerance", words=study.descriptions.words_of_curves
        ),
        code=code("draw_curves"),
    script:
        "../workflow/scripts/draw_curves.py"


rule draw_tuning:
    input:
        curves=study.path("tuning_curves"),
    output:
        pdf=study.path("tuning_curves_plot", extension="pdf"),
        svg=report(
            study.path("tuning_curves_plot", extension="svg"),
            caption="../report/tuning_curves.rst",
            category="5 Systems software",
            labels={"figure": "Tuning: speed over the trials of the searches"},
        ),
        png=study.path("tuning_curves_plot", extension="png"),
    log:
        "results/logs/draw_tuning.log",
    benchmark:
        "results/benchmarks/draw_tuning.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(words=study.descriptions.words_of_tuning),
        code=code("draw_tuning"),
    script:
        "../workflow/scripts/draw_tuning.py"


rule tabulate_observations:
    input:
        assessments=observations("assessment"),
    output:
        observations=report(
            study.path("observations"),
            caption="../report/observations.rst",
            category="Tables",
            labels={"table": "Observations: the verdicts"},
        ),
        page=study.path("observations_page"),
    log:
        "results/logs/tabulate_observations.log",
    benchmark:
        "results/benchmarks/tabulate_observations.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(claims=study.descriptions.claims, words=study.descriptions.words),
        code=code("tabulate_observations"),
    script:
        "../workflow/scripts/tabulate_observations.py"


rule tabulate_summary:
    input:
        **TABLES,
    output:
        table=study.path("summary_table"),
        page=report(
            study.path("summary_page"),
            caption="../report/summary_table.rst",
            category="Tables",
            labels=lambda wildcards: {"table": wildcards.table.replace("_", " ").capitalize()},
        ),
    log:
        "results/logs/tabulate_summary/{table}.log",
    benchmark:
        "results/benchmarks/tabulate_summary/{table}.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(words=study.descriptions.words),
        code=code("tabulate_summary"),
    script:
        "../workflow/scripts/tabulate_summary.py"


rule recommend:
    input:
        **TABLES,
    output:
        recommendation=study.path("recommendation"),
        page=report(
            study.path("recommendation_page"),
            caption="../report/recommendation.rst",
            category="Across the stack",
            labels={"table": "Recommended configurations"},
        ),
    log:
        "results/logs/recommend.log",
    benchmark:
        "results/benchmarks/recommend.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(top1_floor=study.top1_floors, words=study.descriptions.words),
        code=code("recommend"),
    script:
        "../workflow/scripts/recommend.py"


rule draw_pareto:
    input:
        study=study.path("study"),
    output:
        pdf=study.path("pareto", extension="pdf"),
        svg=report(
            study.path("pareto", extension="svg"),
            caption="../report/pareto.rst",
            category="Across the stack",
            labels={"figure": "Pareto front of accuracy, latency and size"},
        ),
        png=study.path("pareto", extension="png"),
    log:
        "results/logs/draw_pareto.log",
    benchmark:
        "results/benchmarks/draw_pareto.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(words=study.descriptions.words),
        code=code("draw_pareto"),
    script:
        "../workflow/scripts/draw_pareto.py"


rule draw_roofline:
    input:
        study=study.path("study"),
        platforms=[study.path("platform", platform=name) for name in study.platforms(CONFIG)],
    output:
        pdf=study.path("roofline", extension="pdf"),
        svg=report(
            study.path("roofline", extension="svg"),
            caption="../report/roofline.rst",
            category="6 Hardware",
            labels={"figure": "Roofline of every platform"},
        ),
        png=study.path("roofline", extension="png"),
    log:
        "results/logs/draw_roofline.log",
    benchmark:
        "results/benchmarks/draw_roofline.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(platforms=study.platforms, words=study.descriptions.words),
        code=code("draw_roofline"),
    script:
        "../workflow/scripts/draw_roofline.py"


# The report links to the page: browsers open no embedded page of its size.
rule draw_explorer:
    input:
        study=study.path("study"),
        noise_floor=study.path("noise_floor"),
        samples=study.path("samples"),
    output:
        page=study.path("explorer"),
    log:
        "results/logs/draw_explorer.log",
    benchmark:
        "results/benchmarks/draw_explorer.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(words=study.descriptions.words),
        code=code("draw_explorer"),
    script:
        "../workflow/scripts/draw_explorer.py"


# All that a study is made for.
RESULTS = [
    *(study.path(name) for name in ("study", "samples", "noise_floor", "peers", "provenance")),
    *(study.path(name) for name in ("observations", "recommendation", "answers_table", "explorer")),
    *observations("plot", extension=list(study.PLOT_EXTENSIONS)),
    *expand([study.path(figure) for figure in study.FIGURES], extension=study.PLOT_EXTENSIONS),
    *expand(study.path("summary_table"), table=study.SUMMARY_TABLES),
    study.path("by_machine"),
]


# Last of all, so that nothing is missing where it fails because of `strict`.
rule summarize_statuses:
    input:
        study=study.path("study"),
        results=RESULTS,
    output:
        summary=study.path("status_summary"),
    log:
        "results/logs/summarize_statuses.log",
    benchmark:
        "results/benchmarks/summarize_statuses.tsv"
    conda:
        "../envs/plotting.yaml"
    params:
        settings=settings(strict="study.strict"),
        code=code("summarize_statuses"),
    script:
        "../workflow/scripts/summarize_statuses.py"
