"""A table as a page that people read: one HTML file without anything from outside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from dlas.analysis.words import Words

# The classes of a cell: bold, tinted, and grey.
BEST, TIED, QUIET = "best", "tied", "quiet"
_STYLE = """
body { margin: 1.2em; color: #202020; font: 12px/1.45 system-ui, "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 0.3em; font-size: 16px; }
p { max-width: 62em; margin: 0 0 1em; color: #404040; }
table { border-collapse: collapse; border-bottom: 1px solid #202020; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2em 0.5em; text-align: right; white-space: pre; font-weight: normal; }
thead th { font-weight: bold; vertical-align: bottom; }
thead tr:first-child th { border-top: 1px solid #202020; }
thead tr:last-child th { border-bottom: 1px solid #202020; }
thead th[colspan] { text-align: center; }
thead th.index_name, tbody th { text-align: left; vertical-align: top; }
tbody th { border-top: 1px solid #D8DCE0; }
tbody td { border-top: 1px solid #ECEEF0; }
tbody tr:hover td { background: #F2F5F8; }
.best { font-weight: bold; }
.tied { background: #E3EEF6; }
.quiet { color: #767676; }
"""


@dataclass(frozen=True)
class Page:
    """A table with what its reader needs.

    The names of the columns and of the index stand in its head, with their units. `formats` says
    how a column's numbers are written, in Python's format specifications; columns of text need
    none. `classes` has a class, or nothing, for each cell: some of BEST, TIED and QUIET.
    """

    title: str
    note: str
    table: pd.DataFrame
    formats: Mapping[Any, str] = field(default_factory=dict)
    classes: pd.DataFrame | None = None


def html(page: Page) -> str:
    """Return a page as HTML. Numbers stand at the right, text at the left; an empty cell has no number."""
    styler = page.table.style.set_uuid("table")
    styler.cell_ids = False
    styler.format(dict(page.formats), na_rep="", escape="html")
    for axis in (0, 1):
        styler.format_index(escape="html", axis=axis)
    texts = [name for name in page.table if _is_text(page.table[name])]
    left = [{"selector": part, "props": [("text-align", "left")]} for part in ("th", "td")]
    styler.set_table_styles(dict.fromkeys(texts, left), axis=0)
    if page.classes is not None:
        styler.set_td_classes(page.classes)
    title = escape(page.title)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta '
        f'charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p>{escape(page.note)}</p>\n"
        f"{styler.to_html()}</body>\n</html>\n"
    )


def _is_text(column: pd.Series) -> bool:
    """Return whether a column has words: text without a digit at its front is no number with its interval."""
    texts = column[column.map(lambda cell: isinstance(cell, str) and cell != "")]
    return len(texts) > 0 and not texts.str.match(r"[-+\d]").any()


def estimate(value: float, low: float = np.nan, high: float = np.nan) -> str:
    """Return an estimate with its interval in three significant digits of the estimate: "0.481 [0.472, 0.490]".

    Nothing where there is no estimate, and no interval where there is none.
    """
    if np.isnan(value):
        return ""
    decimals = max(0, 2 - int(np.floor(np.log10(abs(value))))) if value else 0
    texts = [f"{number:,.{decimals}f}" for number in (value, low, high)]
    return texts[0] if np.isnan(low) else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def estimates(rows: pd.DataFrame, names: list[str]) -> list[str]:
    """Return the `estimate` of each row from its columns of the value and its limits."""
    return [estimate(*row) for row in rows[names].astype(float).itertuples(index=False)]


def level_text(level: float) -> str:
    """Return the level of a compression; nothing where it has none."""
    return "" if np.isnan(level) else f"{level:g}"


def labelled(rows: pd.DataFrame, columns: list[str], words: Words) -> pd.DataFrame:
    """Return rows with the labels of methods in these columns; a cell without a name is empty."""
    return rows.assign(
        **{
            name: rows[name].map(lambda cell: words.label(cell) if isinstance(cell, str) else "")
            for name in columns
        }
    )
