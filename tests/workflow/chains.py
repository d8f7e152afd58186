"""The jobs that depend on a part of the study, enumerated from its configurations.

A chain starts at the jobs of one rule that agree with some choices and goes on through all jobs
after them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, product

from dlas import registry, study
from tests.workflow.project import ROOT, job

Choices = Mapping[str, str | tuple[str, ...]]
Chain = Callable[[study.Config], set[str]]

# The rules, with strings of two lines joined.
RULES = "".join(re.sub(r'"\s+"', "", file.read_text()) for file in ROOT.glob("rules/*.smk"))
# The wildcards of each rule, which its log repeats.
WILDCARDS = {
    rule: re.findall(r"{(\w+)}", rest)
    for rule, rest in re.findall(r'"results/logs/(\w+)(/.*)?\.log"', RULES)
}
# A job compiles one library, or all libraries of a network for a platform.
(BUILD,) = (rule for rule in WILDCARDS if rule.startswith("build_"))
# The first rule whose jobs name the configurations that they are for.
LISTING = "check_libraries" if "primitive" in WILDCARDS[BUILD] else BUILD
LADDERS = ("weight_pruning", "channel_pruning")
AFTER = {
    "prepare_dataset": ["train_model"],
    "train_model": ["compress_model"],
    "compress_model": ["choose_level", "tabulate_answers"],
    "choose_level": ["import_network", "export_network", "tabulate_curves"],
    "import_network": ["tune_network", BUILD],
    "export_network": ["time_libraries"],
    "resolve_target": ["probe_platform", BUILD],
    "probe_platform": ["tune_network", "check_libraries"],
    "tune_network": [BUILD, "tabulate_tuning"],
    BUILD: ["check_libraries"],
    "check_libraries": ["time_libraries"],
    "time_libraries": ["tabulate_study"],
    "tabulate_study": [
        *("trace_rows", "assess_observation", "tabulate_summary", "recommend"),
        *("draw_overview", "draw_pareto", "draw_roofline", "draw_explorer"),
    ],
    "tabulate_curves": ["assess_observation", "draw_curves"],
    "tabulate_tuning": ["draw_tuning"],
    "assess_observation": ["draw_observation", "tabulate_observations", "compare_machines"],
}
# What readers see, after all of which the statuses are summarized.
SHOWN = (
    *("draw_observation", "draw_overview", "draw_curves", "draw_tuning", "draw_pareto"),
    *("draw_roofline", "draw_explorer", "tabulate_observations", "tabulate_summary", "recommend"),
    "compare_machines",
)
AFTER |= {rule: ["summarize_statuses"] for rule in (*SHOWN, "trace_rows", "tabulate_answers")}


def starting(first: str, **choices: str | tuple[str, ...]) -> Chain:
    """Return the chain that starts at the jobs of a rule which agree with the choices."""

    def jobs(config: study.Config) -> set[str]:
        found: dict[str, set[str]] = {}
        ahead = [first]
        while ahead:
            rule = ahead.pop()
            if rule not in found:
                found[rule] = set(_jobs(rule, config, choices))
                ahead += AFTER.get(rule, []) if found[rule] else []
        return set(chain.from_iterable(found.values()))

    return jobs


def alone(*rules: str, **choices: str | tuple[str, ...]) -> Chain:
    """Return the jobs of rules which agree with the choices, without those after them."""
    return lambda config: {job for rule in rules for job in _jobs(rule, config, choices)}


def together(*chains: Chain) -> Chain:
    """Return the jobs of several chains."""
    return lambda config: {job for one in chains for job in one(config)}


nothing = together()


def _jobs(rule: str, config: study.Config, choices: Choices) -> Iterator[str]:
    """Yield the jobs of a rule, again and again where configurations share one."""
    machines = study.machines(config)
    for configuration in study.choices(config):
        compression, platform = configuration["compression"], configuration["platform"]
        exported = compression == study.BASELINE and study.peers(config, platform)
        if (rule == "export_network" and not exported) or (
            rule == "tune_network" and not study.searches(configuration["tuning"])
        ):
            continue
        others: dict[str, Iterable[str]] = {
            "level": study.levels(config, compression),
            "number": config.observations,
            "table": study.SUMMARY_TABLES,
        }
        names = others.keys() & WILDCARDS[rule]
        for values in product(*(others[name] for name in names)):
            place = configuration | dict(zip(names, values, strict=True))
            place["machine"] = machines[platform]
            if all(_agrees(place, name, wanted) for name, wanted in choices.items()):
                yield job(rule, {name: place[name] for name in WILDCARDS[rule]})


def _agrees(place: Mapping[str, str], name: str, wanted: str | tuple[str, ...]) -> bool:
    """Return whether a choice is wanted, as one is of which a rule knows nothing.

    A way to schedule that combines others is wanted where one of those is.
    """
    if name not in place:
        return True
    values = {place[name]}
    if name == "tuning":
        values |= set(registry.describe("tuning", place[name]).combines)
    return bool(values & ({wanted} if isinstance(wanted, str) else set(wanted)))
