"""Captions of observations and the table of verdicts, in reStructuredText."""

import math
import re
from collections.abc import Mapping
from typing import get_args

import pandas as pd

from dlas.analysis.judging import EXPLAINED, Generalization, Verdict
from dlas.analysis.observation import Module, Observation
from dlas.analysis.words import Words

VERDICTS = get_args(Verdict)
ORIGINS = {
    "abstract": "attested by an abstract of the paper",
    "formulated": "formulated by this project from the study's factors",
}
# Bold text with a class for each verdict, which gives it its colour.
ROLES = "".join(f".. role:: {verdict}(strong)\n" for verdict in VERDICTS)


def caption(
    module: Module, observation: Observation, claim: Mapping[str, str], words: Words
) -> str:
    """Return the caption of an observation's figure.

    It has the claim, the verdict with its effect size, how to read the figure, the rule and the
    data.

    Parameters
    ----------
    module : Module
        The module of the observation.
    observation : Observation
        The observation, as its module returned it.
    claim : mapping of str to str
        The claim and its origin, see `dlas.study.descriptions.claim`.
    words : Words
        Labels of the methods.

    Returns
    -------
    str
        reStructuredText.
    """
    reason = words.text(observation.reason)
    size = effect(observation.estimate, observation.ci_low, observation.ci_high)
    size = f"**{escaped(size)}**, n = {observation.n}"
    verdict = f":{observation.verdict}:`{observation.verdict.capitalize()}`"
    return "\n".join(
        [
            ROLES,
            f"**{escaped(sentence(claim['claim']))}** "
            f"{escaped(sentence(ORIGINS[claim['origin']]))}\n",
            f"{verdict}: {escaped(sentence(reason, capital=False))}\n",
            f"Effect size [95 % interval]: {size}. {escaped(sentence(observation.statistic))}\n",
            f"For other networks: **{escaped(str(observation.others))}**. {escaped(EXPLAINED)}\n",
            *(
                f"{name}\n    {escaped(text)}\n"
                for name, text in (
                    ("How to read it", module.READING),
                    ("Decision rule", module.RULE),
                    ("Data", module.DATA),
                )
            ),
        ]
    )


def table(verdicts: pd.DataFrame, words: Words) -> str:
    """Return observations.csv as a table in reStructuredText.

    A line above the table counts the verdicts. Claims are links to the targets "observation 01" and
    so on, which the page that includes the table defines. A row without an effect size shows its
    reason.

    Parameters
    ----------
    verdicts : DataFrame
        observations.csv.
    words : Words
        Labels of the methods.

    Returns
    -------
    str
        reStructuredText.
    """
    counts = verdicts["verdict"].value_counts().reindex(VERDICTS, fill_value=0)
    summary = ", ".join(f":{verdict}:`{count} {verdict}`" for verdict, count in counts.items())
    lines = [
        ROLES,
        f"Verdicts on {len(verdicts)} observations: {summary}.\n",
        f"{escaped(EXPLAINED)}\n",
        ".. list-table::",
        "   :class: verdicts",
        "   :widths: auto",
        "   :header-rows: 1\n",
        *_row(
            "", "claim", "origin", "verdict", "effect size [95 % interval]", "n", "other networks"
        ),
    ]
    for row in verdicts.itertuples():
        size = effect(row.estimate, row.ci_low, row.ci_high)
        lines += _row(
            row.observation,
            f"`{escaped(sentence(row.claim))} <observation {row.observation}_>`__",
            row.origin,
            f":{row.verdict}:`{row.verdict}`",
            escaped(words.text(row.reason))
            if math.isnan(row.estimate)
            else f"**{escaped(size)}**\n\n       {escaped(row.statistic)}",
            str(row.n),
            escaped(
                str(Generalization(row.generalizes, row.generalizes_low, row.generalizes_high))
            ),
        )
    return "\n".join(lines) + "\n"


def _row(first: str, *others: str) -> list[str]:
    return [f"   * - {first}", *(f"     - {cell}" for cell in others)]


def effect(estimate: float, low: float, high: float) -> str:
    """Return an effect size as text: "1.75 [0.96, 3.18]", or "none" if the estimate is NaN."""
    if math.isnan(estimate):
        return "none"
    return f"{estimate:.2f}" + ("" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]")


def sentence(text: str, capital: bool = True) -> str:
    """Return a text that ends with a full stop and, by default, starts with a capital."""
    text = text.strip()
    return (text[:1].upper() if capital else text[:1]) + text[1:] + "." * (not text.endswith("."))


def escaped(text: str) -> str:
    """Return a text as one line of reStructuredText with all punctuation escaped."""
    return re.sub(r"([^\w\s]|_)", r"\\\1", " ".join(text.split()))
