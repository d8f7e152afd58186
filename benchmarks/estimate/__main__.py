"""Estimate the run time of a study on this machine, stage by stage, without running any of it.

Rates are measured here in a minute or three, with random images and weights. No data set is needed,
and no job is started.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.estimate import demand, report
from benchmarks.estimate.rates import measure
from benchmarks.estimate.stages import Finished, Inputs, Stage, stages
from dlas import study
from dlas.errors import StudyError
from dlas.files import write_json


def main() -> None:
    """Measure, print the table and, with --json, write it as JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.estimate", description=__doc__)
    parser.add_argument("--configfile", default="", help="an overlay on config.yaml")
    parser.add_argument("--cores", default="all", help="of the study: a number, or all")
    parser.add_argument("--seconds", type=float, default=60, help="of measuring, about")
    parser.add_argument(
        "--gpu", type=float, help="images a second of ResNet50's training at 224x224 pixels"
    )
    parser.add_argument(
        "--results", type=Path, default=demand.ROOT / "results", help="of a finished study"
    )
    parser.add_argument("--measured", action="store_true", help="leave a finished study out")
    parser.add_argument("--json", type=Path, help="a file to write")
    arguments = parser.parse_args()
    for name, value in (("seconds", arguments.seconds), ("gpu", arguments.gpu)):
        if value is not None and not value > 0:
            parser.error(f"--{name} is {value:g}; allowed: a number above 0")
    if arguments.cores != "all" and not (arguments.cores.isdecimal() and int(arguments.cores)):
        parser.error(f"--cores is {arguments.cores}; allowed: all, or a number from 1")
    try:
        estimate(arguments)
    except StudyError as error:
        sys.exit(f"error: {error}")


def estimate(arguments: argparse.Namespace) -> None:
    """Estimate with the options of the command line; raise StudyError for an invalid config."""
    config = study.load(*filter(None, [arguments.configfile]))
    networks = demand.networks(config)
    rates = measure(config, networks, arguments.seconds)
    cores = rates.cores if arguments.cores == "all" else int(arguments.cores)
    own = Finished() if arguments.measured else report.finished(arguments.results, networks, rates)
    gpu_macs = demand.network(
        "imagenet", "resnet50", demand.Images(0, 0, 0, demand.IMAGENET_CLASSES, 224), 1.0
    ).macs
    inputs = Inputs(config, networks, rates, own, arguments.gpu, gpu_macs)
    found = stages(inputs, demand.jobs(config))
    remarks = notes(inputs, found, arguments.results)
    print(report.text(found, networks, cores, remarks))
    if arguments.json:
        write_json(arguments.json, report.as_json(found, networks, cores, rates, remarks))


def notes(inputs: Inputs, found: list[Stage], results: Path) -> list[str]:
    """Return remarks on the source of the rates, and on what they leave out."""
    compiled = ", ".join(sorted(inputs.rates.measured_on.values()))
    lines = [
        "rates measured on this machine: training and inference of each network at its own size; "
        "import, build, "
        f"latency and tuning on {compiled} and carried over by layers and MACs; the start of jobs",
    ]
    if inputs.finished.job or inputs.finished.layer:
        own = [*inputs.finished.job, *inputs.finished.layer]
        own += ["tune_network"] if inputs.finished.candidate else []
        lines.append(f"rates of the finished study in {results}: {', '.join(sorted(own))}")
    if inputs.gpu:
        lines.append(
            f"rate given: training on a GPU at {inputs.gpu:g} images of ResNet50 a second, for "
            f"other networks by MACs"
        )
    else:
        lines.append("training on a GPU is left out: --gpu takes its rate on ResNet50")
    if any(stage.elsewhere for stage in found):
        lines.append(
            f"left out: the time of {sum(stage.elsewhere for stage in found)} jobs on boards and "
            f"GPUs, which cannot be "
            "measured here"
        )
    lines.append(
        "networks of pruned channels are counted whole, float16 and int8 libraries as fast as "
        "float32; on the embedded "
        "study a stage was within a factor of 1.6 of its real time, small jobs within 3 "
        "(docs/results/scale.md); networks of "
        "full width have not been compared, and their latency is carried over from smaller ones"
    )
    return lines


if __name__ == "__main__":
    main()
