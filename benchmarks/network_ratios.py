"""The latency of this project's fastest primitive in each form relative to the fastest peer.

The module adds columns to the table, and writes a text and a figure.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from benchmarks.interleaved import ratios_to
from dlas.analysis.style import GREY, style

OWN = "dlas"
# The compared (format, dtype), and their names in the figure.
FORMS = {
    ("dense", "float32"): "float32",
    ("dense", "float16"): "float16",
    ("csr", "float32"): "CSR, 90 % zeros",
    ("dense", "int8"): "int8, to the best int8",
}


def with_ratios(table: pd.DataFrame, samples: np.ndarray) -> pd.DataFrame:
    """Add the columns `best_peer` and `ratio_to_best_peer` to the rows of one network.

    Rows in int8 are compared with the fastest peer in int8, all others with the fastest in float32.
    A ratio is the median over turns of the ratio of two samples of a turn.

    Parameters
    ----------
    table, samples
        The results of `network_contenders.measure`.
    """
    table = table.assign(best_peer="", ratio_to_best_peer=np.nan)
    integers = table["dtype"] == "int8"
    for rows, dtype in ((integers, "int8"), (~integers, "float32")):
        took_part = (table["runtime"] != OWN) & (table["dtype"] == dtype)
        latencies = table.loc[took_part, "latency_ms"].dropna()
        if len(latencies):
            best = int(latencies.idxmin())
            ratios = ratios_to(samples, best).round(3)
            table.loc[rows, "best_peer"] = table["runtime"][best]
            table.loc[rows, "ratio_to_best_peer"] = ratios[rows]
    return table


def fastest(
    rows: pd.DataFrame, weight_format: str, dtype: str, tuning: str = ""
) -> pd.Series | None:
    """Return the row of this project's fastest primitive; None if there is none.

    Parameters
    ----------
    rows : pd.DataFrame
        The rows of one network.
    weight_format, dtype : str
        The form.
    tuning : str
        The way to schedule; empty for any.
    """
    own = rows[
        (rows["runtime"] == OWN) & (rows["format"] == weight_format) & (rows["dtype"] == dtype)
    ]
    own = own[own["latency_ms"].notna()]
    if tuning:
        own = own[own["tuning"] == tuning]
    return None if own.empty else own.loc[own["latency_ms"].idxmin()]


def summary(table: pd.DataFrame) -> str:
    """Return the most important ratios as text; below 1, this project's primitive is faster."""
    lines = ["latency of this project's fastest primitive relative to others, one thread"]
    for network, rows in table.groupby("network", sort=False):
        lines += ["", f"{network}:"]
        dense = fastest(rows, "dense", "float32", "untuned")
        tunings = [tuning for tuning in rows["tuning"].unique() if tuning]
        for weight_format, dtype in FORMS:
            for tuning in tunings:
                row = fastest(rows, weight_format, dtype, tuning)
                if row is None or dense is None:
                    continue
                zeros = f" at {100 * row['sparsity']:g} % zeros" if weight_format == "csr" else ""
                to_dense = row["latency_ms"] / dense["latency_ms"]
                peer = f", {row['ratio_to_best_peer']:.3f} of {row['best_peer']}"
                lines.append(
                    f"  {weight_format} {dtype}{zeros} ({row['primitive']}, {tuning}): "
                    f"{to_dense:.3f} of the fastest untuned dense float32"
                    + (peer if row["best_peer"] else "")
                )
        for row in rows[rows["status"] != "ok"].to_dict("records"):
            name = " ".join(filter(None, (row["runtime"], row["primitive"])))
            lines.append(f"  {name}, {row['format']} {row['dtype']}: {row['status']}")
    return "\n".join(lines)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the ratios: a group for each network, a bar for each form's fastest primitive."""
    found = [
        (network, label, row["ratio_to_best_peer"])
        for network, rows in table.groupby("network", sort=False)
        for form, label in FORMS.items()
        if (row := fastest(rows, *form)) is not None
    ]
    bars = pd.DataFrame(found, columns=["network", "form", "ratio"])
    with style():
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axis = figure.subplots()
        sns.barplot(bars, x="network", y="ratio", hue="form", ax=axis)
        axis.axhline(1, color=GREY, linewidth=1)
        for container in axis.containers:
            axis.bar_label(container, fmt="%.2f", fontsize=6, padding=1)  # type: ignore[arg-type]
        axis.set(xlabel="", ylabel="latency / best peer's")
        axis.set_title(
            "The fastest primitive beside the fastest of the peers, one thread; below 1 it is "
            "faster"
        )
        axis.tick_params(axis="x", rotation=20)
        axis.legend(title="", ncols=len(FORMS), loc="upper left")
        axis.set_ylim(top=1.25 * bars["ratio"].max())
        figure.savefig(path, dpi=200)
