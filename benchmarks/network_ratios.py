"""What the table of whole networks says of this project's fastest primitive in each form, against float32 and peers."""

from itertools import product

import pandas as pd

from dlas import registry

# What is compared, and with which peer's column of ratios.
FORMS = (
    ("dense", "float32", "ratio_to_onnxruntime", "ONNX Runtime float32"),
    ("csr", "float32", "ratio_to_onnxruntime", "ONNX Runtime float32"),
    ("dense", "float16", "ratio_to_onnxruntime", "ONNX Runtime float32"),
    ("dense", "int8", "ratio_to_onnxruntime_int8", "ONNX Runtime int8"),
)


def fastest(rows: pd.DataFrame, format: str, dtype: str, tuning: str) -> pd.Series | None:
    """Return the row of this project's fastest primitive, None where no primitive took part."""
    own = rows[(rows["runtime"] == "dlas") & (rows["format"] == format) & (rows["dtype"] == dtype)]
    own = own[own["tuning"] == tuning]
    return None if own.empty else own.loc[own["ratio_to_pytorch"].idxmin()]


def summary(table: pd.DataFrame) -> str:
    """Return the ratios of latencies that matter, as text; below 1, this project's primitive is faster."""
    lines = ["latency of this project's fastest primitive relative to others, one thread"]
    for network, rows in table.groupby("network", sort=False):
        lines += ["", f"{network}:"]
        dense = fastest(rows, "dense", "float32", "untuned")
        for (format, dtype, column, peer), tuning in product(FORMS, registry.names("tuning")):
            row = fastest(rows, format, dtype, tuning)
            if row is None or dense is None:
                continue
            zeros = f" at {100 * row['sparsity']:g} % zeros" if format == "csr" else ""
            to_dense = row["ratio_to_pytorch"] / dense["ratio_to_pytorch"]
            lines.append(
                f"  {format} {dtype}{zeros} ({row['primitive']}, {tuning}): "
                f"{to_dense:.3f} of the fastest untuned dense float32, {row[column]:.3f} of {peer}"
            )
    return "\n".join(lines)
