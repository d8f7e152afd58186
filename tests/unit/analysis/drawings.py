"""Figures of synthetic studies, each drawn once, and what can be asked of one."""

import json
from functools import cache
from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg

from dlas import registry
from dlas.analysis import observation, overview, panels
from dlas.analysis.observation import restored
from tests.unit.analysis import synthetic

LOOKS = synthetic.LOOKS
MARKERS = {LOOKS.marker(name) for name in registry.names("primitive")}
COMPRESSED = ("none", "weight_pruning", "int8")
UNTUNED = ("size_accuracy_latency", "fastest_primitive", "compression_speedup_by_platform")
TUNED = ("tuning_speedup", "tuning_changes_primitive")
PRECISION = ("primitive_by_precision", "native_precision", "datasets_differ")
PROMISES = ("sparsity_promise", "channel_pruning_promise", "joint_choice")
BEYOND = ("gains_multiply", "structured_sparsity")
STUDY = UNTUNED + TUNED + PRECISION + PROMISES + BEYOND
CURVES = ("pruning_reach", "compact_architectures")
SMALL = synthetic.study(synthetic.realistic)
SMALL = SMALL[(SMALL.platform == "local_cpu") | SMALL.model.isin(["resnet18", "mobilenet_v2"])]
LARGE = synthetic.study(
    synthetic.realistic, compressions=COMPRESSED, tunings=("untuned", "autotuned")
)
ONE = SMALL[SMALL.platform == "local_cpu"]
FULL = synthetic.study(
    synthetic.realistic,
    compressions=synthetic.COMPRESSIONS,
    formats=("dense", "csr"),
    tunings=("untuned", "autotuned"),
    unreached=[("photos", "efficientnet_b0", "weight_pruning")],
    native=[("float16", "local_cpu"), ("int8", "local_cpu")],
    widened=[("float16", "local_cpu_avx2")],
)
SOME = FULL.model.isin(["resnet18", "mobilenet_v1"]) & (FULL.compression == "none")
THERE = (FULL.platform == "local_cpu_avx2") & FULL.compression.isin(["none", "float16"])
TABLES = {
    "small": SMALL,
    "large": LARGE,
    "one platform": ONE,
    "nothing measured": SMALL.assign(status="unavailable"),
    "full": FULL[FULL.tuning == "untuned"],
}
AUTOTUNED = {
    "all": FULL,
    "some": FULL[(FULL.tuning == "untuned") | SOME],
    "one platform": FULL[(FULL.tuning == "untuned") | THERE],
}
TABLES |= {f"{which} auto-tuned": table for which, table in AUTOTUNED.items()}
TABLES["auto-tuned, of different sparsity"] = synthetic.study(
    synthetic.sparse,
    compressions=synthetic.COMPRESSIONS,
    formats=("dense", "csr"),
    tunings=("untuned", "autotuned"),
    left=synthetic.left,
)

TABLES["beyond the paper"] = synthetic.study(
    synthetic.realistic,
    models={
        "digits": {name: synthetic.MODELS["digits"][name] for name in ("resnet18", "mobilenet_v2")},
        "photos": {name: synthetic.MODELS["photos"][name] for name in ("resnet50", "mobilenet_v2")},
    },
    compressions=synthetic.EVERY_COMPRESSION,
    formats=("dense", "csr"),
    unreached=[
        ("photos", "mobilenet_v2", "pruned_int8"),
        ("photos", "mobilenet_v2", "block_sparsity"),
        ("digits", "mobilenet_v2", "weight_pruning"),
    ],
)
# The level of a pair is another one than that of the step alone.
ANOTHER = TABLES["beyond the paper"]
ANOTHER.loc[(ANOTHER.model == "resnet50") & (ANOTHER.compression == "slim_float16"), "level"] = 0.3

WAYS = synthetic.study(synthetic.realistic, compressions=COMPRESSED, tunings=synthetic.WAYS)
WAYS = WAYS[
    (WAYS.tuning == "untuned")
    | (WAYS.compression == "none") & WAYS.model.isin(["resnet18", "mobilenet_v2"])
]
TABLES["all ways"] = WAYS.reset_index(drop=True)
LADDERS = {
    "full": synthetic.curves(synthetic.holding, images=360, seed=1),
    "exact": synthetic.curves(synthetic.holding),
    "one technique": synthetic.curves(
        synthetic.holding, compressions=("none", "weight_pruning"), images=360
    ),
    "no technique": synthetic.curves(synthetic.holding, compressions=("none",)),
}
PAIRS = synthetic.with_pairs(LADDERS["full"])
PEERS = synthetic.peers({"pytorch": 2.5, "onnxruntime": 0.8})


def draw(name, table):
    module = observation.load(name)
    study, ladders = (table, None) if name in STUDY else (None, table)
    tables = synthetic.tables(study, synthetic.noise_floor(), ladders)
    found = module.observe(tables)
    # As the job that draws gets it.
    stored = restored(json.loads(json.dumps(found.record(), allow_nan=False)))
    return module, found, panels.draw(module, stored, module.PLUGIN.label, LOOKS)


@cache
def drawn(name, table):
    return draw(name, TABLES[table] if name in STUDY else LADDERS[table])


@cache
def overview_of(table):
    return overview.draw(TABLES[table], PEERS, LOOKS)


def nothing_is_clipped(figure):
    FigureCanvasAgg(figure).draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return (
        drawn.x0 >= -0.01
        and drawn.x1 <= width + 0.01
        and drawn.y0 >= -0.01
        and drawn.y1 <= height + 0.01
    )


def axis_labels_overlap(figure):
    """Return whether the labels of two panels, or a title and a label, lie on one another."""
    boxes = [
        text.get_window_extent()
        for axis in figure.axes
        for text in (axis.title, axis.xaxis.label, axis.yaxis.label)
        if text.get_text()
    ]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    return any(one.overlaps(other) for one, other in combinations(boxes, 2))


def texts(figure):
    return [
        text
        for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))
        if text.get_text()
    ]


def markers(axis):
    return [line for line in axis.lines if line.get_marker() in MARKERS and len(line.get_xdata())]


def each_mark(axis):
    """Return the artist of each mark; marks that look alike have one artist."""
    return [line for line in markers(axis) for _ in line.get_xdata()]
