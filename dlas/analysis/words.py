"""Labels and order of methods, for readers.

Tables, records and verdicts have plain names. A text names a method in backquotes, `gemm`; figures,
pages and captions show its label. A new label therefore changes no result.
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

    Attributes
    ----------
    methods : mapping
        The description of each method by kind and name, see `dlas.study.descriptions.words`. A kind
        has the name of its column in tables.
    """

    methods: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def label(self, name: str) -> str:
        """Return the label of a method, or its name with spaces if it has none."""
        for named in self.methods.values():
            if "label" in named.get(name, {}):
                return str(named[name]["label"])
        return name.replace("_", " ")

    def labels(self, names: str) -> str:
        """Return the labels of several methods, in a text that separates them with ", "."""
        return ", ".join(map(self.label, names.split(", ")))

    def steps(self, compression: str) -> list[str]:
        """Return the techniques of a compression in order, itself alone if it lists none."""
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
        """Return rows sorted by columns of methods, each in the order of its kind.

        Parameters
        ----------
        rows : DataFrame
            The rows.
        columns : sequence of str
            Columns with the names of kinds. Rows of equal values keep their order.
        """
        places = {
            kind: {name: place for place, name in enumerate(self.ordered(kind, rows[kind]))}
            for kind in columns
        }
        return rows.sort_values(
            list(columns), key=lambda column: column.map(places[column.name]), kind="stable"
        )
