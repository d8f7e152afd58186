"""The sparsity at which sparse kernels become faster than dense ones, for ResNet18's 3x3 layers."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.stats import gmean

from dlas import registry
from dlas.analysis import panels
from dlas.analysis.style import GREY, Looks, style
from dlas.study import descriptions

RATIO = "ratio_to_pytorch_float32"
# Ticks of the axis, in percent.
SHOWN = (0, 50, 60, 70, 80, 90, 99)
# The sparsity for which the summary names the slowest layer.
STRONG = 0.9
DENSE = "#404040"
KINDS: tuple[registry.Kind, ...] = ("compression", "primitive")


def resnet18(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ResNet18's 3x3 layers, at both sizes."""
    return table[table["layer"].str.match(r"resnet18_\d+ 3x3 ")]


def best(rows: pd.DataFrame, runtime: str, weight_format: str, dtype: str = "float32") -> pd.Series:
    """Return the ratio of a runtime's fastest primitive by layer, in CSR also by sparsity."""
    chosen = rows[
        (rows["runtime"] == runtime) & (rows["format"] == weight_format) & (rows["dtype"] == dtype)
    ]
    keys = ["layer", "sparsity"] if weight_format == "csr" else ["layer"]
    return chosen.groupby(keys)[RATIO].min()


def over_layers(ratios: pd.Series) -> pd.Series:
    """Return the geometric mean over layers at each sparsity."""
    return ratios.groupby("sparsity").agg(gmean)


def break_even(ratios: pd.Series) -> float:
    """Return the lowest sparsity above which all ratios are below 1, interpolated linearly.

    The work falls in proportion to the sparsity, and with it the ratio.

    Parameters
    ----------
    ratios : pd.Series
        Latency ratios, indexed by ascending sparsity.

    Returns
    -------
    float
        The lowest sparsity if no ratio is 1 or more there; NaN if the ratio at the highest sparsity
        is.
    """
    levels, values = ratios.index.to_numpy(float), ratios.to_numpy(float)
    slow = np.flatnonzero(values >= 1)
    if not len(slow):
        return float(levels[0])
    last = slow[-1]
    if last == len(levels) - 1:
        return float("nan")
    share = (values[last] - 1) / (values[last] - values[last + 1])
    return float(levels[last] + share * (levels[last + 1] - levels[last]))


def summary(table: pd.DataFrame) -> str:
    """Return the results for ResNet18's 3x3 layers as text."""
    rows = resnet18(table)
    sparse = best(rows, "dlas", "csr")
    own, onnx = best(rows, "dlas", "dense"), best(rows, "onnxruntime", "dense")
    one_by_one = rows[(rows["runtime"] == "dlas") & (rows["format"] == "csr")].pivot_table(
        index="sparsity", columns="primitive", values=RATIO, aggfunc=gmean
    )
    means = pd.DataFrame({"fastest primitive": over_layers(sparse)}).join(one_by_one)
    means["library CSR product"] = over_layers(best(rows, "pytorch", "csr"))
    slowest = sparse.xs(STRONG, level="sparsity")
    lines = [
        f"ResNet18's 3x3 layers ({len(own)}), geometric means of latency / PyTorch dense float32",
        "",
        "CSR float32:",
        means.round(3).to_string(),
        "",
        "dense:",
    ]
    for runtime in ("dlas", "onnxruntime"):
        for dtype in ("float32", "float16", "int8"):
            ratios = best(rows, runtime, "dense", dtype)
            if len(ratios):
                to_float32 = gmean(ratios / best(rows, runtime, "dense"))
                lines.append(
                    f"  {runtime} {dtype}: {gmean(ratios):.3f}, {to_float32:.3f} of its float32"
                )
    lines += ["", "break-even sparsity of the fastest primitive in CSR:"]
    for name, dense in (
        ("PyTorch dense", own * 0 + 1),
        ("ONNX Runtime dense", onnx),
        ("this project's fastest dense primitive", own),
    ):
        at = break_even(over_layers(sparse / dense))
        lines.append(f"  against {name}: {100 * at:.0f} %")
    lines += [
        "",
        f"slowest layer at {100 * STRONG:g} %: {slowest.idxmax()}, {slowest.max():.3f}",
    ]
    return "\n".join(lines)


@style()
def draw(table: pd.DataFrame) -> Figure:
    """Return the figure: latency against sparsity, relative to PyTorch's dense convolution."""
    rows = resnet18(table)
    looks = Looks({kind: descriptions.described(kind, registry.names(kind)) for kind in KINDS})
    figure, axes = panels.columns(looks, [""], height=3.1)
    axis = axes[0, 0]
    axis.set_title("3x3 layers of ResNet18, one core")
    pruned = looks.colour("weight_pruning")

    sparse = best(rows, "dlas", "csr").groupby("sparsity")
    levels = 100 * sparse.min().index.to_numpy(float)
    axis.fill_between(levels, sparse.min(), sparse.max(), color=pruned, alpha=0.18, linewidth=0)
    own = rows[(rows["runtime"] == "dlas") & (rows["format"] == "csr")]
    look: dict[str, Any] = {"color": pruned, "markeredgecolor": "white", "markeredgewidth": 0.4}
    names = looks.ordered("primitive", own["primitive"])
    for name in names:
        means = over_layers(own[own["primitive"] == name].set_index("sparsity")[RATIO])
        axis.plot(levels, means, marker=looks.marker(name), **look)
    product = over_layers(best(rows, "pytorch", "csr"))
    axis.plot(100 * product.index, product, color=GREY, marker="x", linestyle="--")

    flat: dict[str, dict[str, Any]] = {
        "PyTorch dense": {"color": DENSE, "linestyle": "-"},
        "ONNX Runtime dense": {"color": DENSE, "linestyle": ":"},
        "fastest primitive, dense": {"color": looks.colour("none"), "linestyle": "-"},
    }
    heights = (
        1.0,
        gmean(best(rows, "onnxruntime", "dense")),
        gmean(best(rows, "dlas", "dense")),
    )
    for height, line in zip(heights, flat.values(), strict=True):
        axis.axhline(height, **line)

    low = min(sparse.min().min(), product.min())
    panels.log_axis(axis.yaxis, low, max(sparse.max().max(), product.max()), fine=2.5)
    axis.set_xticks(SHOWN)
    axis.set_xlabel("sparsity, %")
    axis.set_ylabel("latency / PyTorch dense float32")
    entries: list[Artist] = [
        Line2D([], [], marker=looks.marker(name), label=f"{looks.label(name)}, CSR", **look)
        for name in names
    ]
    entries += [
        Patch(color=pruned, alpha=0.18, linewidth=0, label="fastest of them, all layers"),
        Line2D([], [], color=GREY, marker="x", linestyle="--", label="library's CSR product"),
    ]
    entries += [Line2D([], [], label=name, **line) for name, line in flat.items()]
    figure.legend(handles=entries, loc="outside lower center", ncols=2)
    return figure
