"""Tables as pages for readers: one HTML file each, which loads nothing from outside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from dlas.analysis.words import Words

# CSS classes of cells: bold, tinted and grey.
BEST, TIED, QUIET = "best", "tied", "quiet"
_STYLE = """
body { margin: 1.2em; color: #202020; font: 12px/1.45 system-ui, "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 0.3em; font-size: 16px; }
p { max-width: 62em; margin: 0 0 1em; color: #404040; }
table { border-collapse: collapse; border-bottom: 1px solid #202020; \
font-variant-numeric: tabular-nums; }
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
    """A table with its heading, its explanation and its formats.

    Attributes
    ----------
    title, note : str
        The heading and the paragraph above the table.
    table : DataFrame
        The names of its columns and of its index are the head, with their units.
    formats : mapping
        A format string such as "{:.1f}" for each column of numbers.
    classes : DataFrame, optional
        The CSS classes of each cell: any of BEST, TIED and QUIET, separated by spaces.
    """

    title: str
    note: str
    table: pd.DataFrame
    formats: Mapping[Any, str] = field(default_factory=dict)
    classes: pd.DataFrame | None = None


def html(page: Page) -> str:
    """Return a page as HTML, numbers at the right, text at the left, missing numbers empty."""
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
    """Return whether a column has words: texts that do not begin with a number."""
    texts = column[column.map(lambda cell: isinstance(cell, str) and cell != "")]
    return len(texts) > 0 and not texts.str.match(r"[-+\d]").any()


def estimate(value: float, low: float = np.nan, high: float = np.nan) -> str:
    """Return an estimate with its interval, e.g. "0.481 [0.472, 0.490]".

    All numbers have the decimals of three significant digits of the estimate. An estimate of NaN
    gives an empty text, limits of NaN give no interval.
    """
    if np.isnan(value):
        return ""
    decimals = max(0, 2 - int(np.floor(np.log10(abs(value))))) if value else 0
    texts = [f"{number:,.{decimals}f}" for number in (value, low, high)]
    return texts[0] if np.isnan(low) else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def estimates(rows: pd.DataFrame, names: list[str]) -> list[str]:
    """Return the `estimate` of each row from the columns of the value and its two limits."""
    return [estimate(*row) for row in rows[names].astype(float).itertuples(index=False)]


def level_text(level: float) -> str:
    """Return the level of a compression as text, empty for NaN."""
    return "" if np.isnan(level) else f"{level:g}"


def labelled(rows: pd.DataFrame, columns: list[str], words: Words) -> pd.DataFrame:
    """Return rows with the labels of methods in place of their names.

    Parameters
    ----------
    rows : DataFrame
        Rows of a table.
    columns : list of str
        The columns of methods; a cell without a name becomes empty.
    words : Words
        Labels of the methods.
    """
    return rows.assign(
        **{
            name: rows[name].map(lambda cell: words.label(cell) if isinstance(cell, str) else "")
            for name in columns
        }
    )
