"""The path of every artifact."""

from string import Formatter

_COMPRESSED = "results/compressed/{dataset}/{model}/{compression}"
_NETWORK = "results/networks/{dataset}/{model}/{compression}"
_PLATFORM = "{dataset}/{model}/{compression}/{platform}"
_TUNING = f"results/tuning/{_PLATFORM}/{{primitive}}-{{format}}/{{tuning}}"
# The tables that a bundle provides: their names and file names.
BUNDLED_TABLES = {
    "study": "study.csv",
    "noise_floor": "noise_floor.csv",
    "peers": "peers.csv",
    "samples": "samples.csv.gz",
    "curves": "accuracy_curves.csv",
    "correct": "correct.csv.gz",
}
PATHS = {
    "archive": "results/downloads/{dataset}.tar.gz",
    "partial_archive": "results/resume/downloads/{dataset}.tar.gz",
    "weights": "results/downloads/{model}.pth",
    "partial_weights": "results/resume/downloads/{model}.pth",
    "dataset": "results/datasets/{dataset}.npz",
    "checkpoint": "results/models/{dataset}/{model}/checkpoint.safetensors",
    "history": "results/models/{dataset}/{model}/history.csv",
    # Resume files outlive a killed job, so they are not outputs.
    "training_state": "results/resume/{dataset}/{model}",
    "compression_state": "results/resume/{dataset}/{model}/{compression}/{level}",
    "compressed": f"{_COMPRESSED}/{{level}}.safetensors",
    "point": f"{_COMPRESSED}/{{level}}.json",
    "answers": f"{_COMPRESSED}/{{level}}.npy",
    "curve": f"{_COMPRESSED}/curve.csv",
    "chosen": f"{_COMPRESSED}/chosen.safetensors",
    "summary": f"{_COMPRESSED}/summary.json",
    "networks_archive": "results/networks.zip",
    "network": f"{_NETWORK}/network.json",
    "parameters": f"{_NETWORK}/parameters.safetensors",
    "reference": f"{_NETWORK}/reference.npz",
    "exported": "results/exported/{dataset}/{model}.{extension}",
    "tuning": f"{_TUNING}.json",
    "tuning_curve": f"{_TUNING}.csv",
    # A folder that outlives the jobs writing to it.
    "records": "results/tuning/records/{platform}",
    # A cache of compiled kernels, also a folder, which is safe to delete.
    "kernels": "results/kernels",
    # A folder of <primitive>-<format>/<tuning>.so.
    "libraries": f"results/libraries/{_PLATFORM}",
    "builds": f"results/builds/{_PLATFORM}.json",
    "check": f"results/checks/{_PLATFORM}.json",
    "target": "results/targets/{platform}.json",
    "platform": "results/platforms/{platform}.json",
    "timing": "results/timings/{dataset}/{model}/{machine}.csv",
    "statuses": "results/timings/{dataset}/{model}/{machine}.json",
    "bundle": "bundles/{bundle}",
    **{
        f"bundled_{name}": f"results/bundles/{{platform}}/{file}"
        for name, file in BUNDLED_TABLES.items()
    },
    "study": "results/study.csv",
    "samples": "results/samples.csv.gz",
    "noise_floor": "results/noise_floor.csv",
    "peers": "results/peers.csv",
    "provenance": "results/provenance.json",
    "accuracy_curves": "results/accuracy_curves.csv",
    "answers_table": "results/answers.npz",
    "tuning_curves": "results/tuning_curves.csv",
    "tuning_layers": "results/tuning_layers.csv",
    "assessment": "results/observations/{number}.json",
    "caption": "results/observations/{number}.rst",
    "observations": "results/observations.csv",
    "observations_page": "results/observations.rst",
    "plot": "plots/observation_{number}.{extension}",
    "overview": "plots/latency.{extension}",
    "accuracy_curves_plot": "plots/accuracy_curves.{extension}",
    "tuning_curves_plot": "plots/tuning_curves.{extension}",
    "summary_table": "results/tables/{table}.csv",
    "summary_page": "results/tables/{table}.html",
    "recommendation": "results/recommendation.csv",
    "recommendation_page": "results/tables/recommendation.html",
    "pareto": "plots/pareto.{extension}",
    "roofline": "plots/roofline.{extension}",
    "explorer": "results/explore.html",
    "by_machine": "results/tables/verdicts_by_machine.csv",
    "by_machine_page": "results/tables/verdicts_by_machine.html",
    "status_summary": "results/statuses.txt",
}
# Figures of the whole study.
FIGURES = (
    "overview",
    "accuracy_curves_plot",
    "tuning_curves_plot",
    "pareto",
    "roofline",
)
PLOT_EXTENSIONS = ("pdf", "svg", "png")
SUMMARY_TABLES = ("accuracy_and_compression", "latency", "best_configurations", "published")


def path(name: str, **choices: str) -> str:
    """Return the path of an artifact; choices that are not given stay wildcards.

    `path("dataset")` is "results/datasets/{dataset}.npz", `path("dataset", dataset="digits")` is
    the file of one data set. Choices that are not in the path are ignored, so all fields of a
    configuration can be passed.
    """
    pattern = PATHS[name]
    wildcards = [field for _, field, _, _ in Formatter().parse(pattern) if field]
    return pattern.format(**{field: choices.get(field, f"{{{field}}}") for field in wildcards})
