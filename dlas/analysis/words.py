"""How methods are called when people read of them, and in which order they stand.

Tables, records and verdicts have plain names. A text names a method in backquotes, `gemm`; figures,
pages and captions show its label. So a new label changes what is shown and nothing that was found.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from dlas.plugins import LAST


@dataclass(frozen=True)
class Words:
    """The labels and the order of methods.

    Parameters
    ----------
    methods : mapping
        What is shown of each method by kind and name, see `dlas.study.descriptions.words`. A kind
        has the name of its column in tables. A method without a label is called by its name.
    """

    methods: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def label(self, name: str) -> str:
        """Return the name that readers know a method by."""
        for named in self.methods.values():
            if "label" in named.get(name, {}):
                return str(named[name]["label"])
        return name.replace("_", " ")

    def labels(self, names: str) -> str:
        """Return the labels of several methods, which ", " separates."""
        return ", ".join(map(self.label, names.split(", ")))

    def steps(self, compression: str) -> list[str]:
        """Return the techniques of a compression in their order; one without such a word is a technique itself."""
        word = self.methods.get("compression", {}).get(compression, {})
        return list(word.get("steps", [compression]))

    def text(self, text: str) -> str:
        """Return a text with labels in place of the names in backquotes."""
        return re.sub("`([^`]*)`", lambda found: self.label(found[1]), text)

    def ordered(self, kind: str, names: Iterable[str]) -> list[str]:
        """Return distinct names in the order of their kind; equals are sorted by name."""
        known = self.methods.get(kind, {})
        return sorted(set(names), key=lambda name: (known.get(name, {}).get("order", LAST), name))

    def sort(self, rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
        """Return rows sorted by columns, each of which is named after its kind; equals stay as they are."""
        places = {
            kind: {name: place for place, name in enumerate(self.ordered(kind, rows[kind]))}
            for kind in columns
        }
        return rows.sort_values(
            list(columns), key=lambda column: column.map(places[column.name]), kind="stable"
        )
