"""Words and looks: labels and order from descriptions, and a look of its own for each method."""

import pandas as pd
import pytest

from dlas import registry
from dlas.analysis.style import Looks
from dlas.analysis.words import Words
from tests.unit.analysis import synthetic

# Each kind with what tells its methods apart.
LOOKED_AT = {
    "compression": lambda looks, name: looks.colour(name).upper(),
    "primitive": lambda looks, name: looks.marker(name),
    "tuning": lambda looks, name: (looks.line(name), looks.fill(name)),
    "format": lambda looks, name: str(looks.edge(name)).upper(),
    "runtime": lambda looks, name: str(looks.runtime(name)),
}
NEW = ("first_new", "second_new", "third_new", "fourth_new")


def with_new(kind, names=NEW, **described):
    """The looks of the study with these methods besides, which describe this alone."""
    methods = dict(synthetic.LOOKS.methods)
    return Looks({**methods, kind: {**methods[kind], **dict.fromkeys(names, described)}})


@pytest.mark.parametrize("kind", LOOKED_AT)
def test_each_new_method_has_a_look_of_its_own_and_the_others_keep_theirs(kind):
    # A sparse format has an edge; other kinds know no sparsity.
    looks, look = with_new(kind, sparse=True), LOOKED_AT[kind]
    shipped = list(registry.names(kind))
    shown = [look(looks, name) for name in (*shipped, *NEW)]
    assert len(set(map(str, shown))) == len(shown)
    assert shown[: len(shipped)] == [look(synthetic.LOOKS, name) for name in shipped]


def test_colours_stay_far_apart():
    looks = with_new("compression")
    names = [*synthetic.LOOKS.methods["compression"], *NEW]
    parts = [[int(looks.colour(name)[at : at + 2], 16) for at in (1, 3, 5)] for name in names]
    for index, one in enumerate(parts):
        for other in parts[:index]:
            assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) > 60


def test_looks_go_by_order_and_name_not_by_when_they_are_asked_for():
    looks = with_new("primitive")
    backwards = [looks.marker(name) for name in NEW[::-1]]
    names = sorted(NEW)
    assert [looks.marker(name) for name in names] == [
        with_new("primitive", names[::-1]).marker(name) for name in names
    ]
    assert backwards[::-1] == [looks.marker(name) for name in NEW]
    methods = synthetic.LOOKS.methods
    first = {**methods["primitive"], "late": {"order": 9}, "early": {"order": 8}}
    ordered = Looks({**methods, "primitive": first})
    assert ordered.marker("early") == looks.marker(names[0])


def test_a_dense_format_has_no_edge():
    assert with_new("format").edge(NEW[0]) == {} == synthetic.LOOKS.edge("dense")


def test_labels_and_texts():
    words = Words({"primitive": {"gemm": {"label": "GEMM"}, "direct": {}}})
    assert [words.label(name) for name in ("gemm", "direct", "some_board")] == [
        "GEMM",
        "direct",
        "some board",
    ]
    assert words.text("`gemm` on `some_board`, gemm") == "GEMM on some board, gemm"
    assert words.labels("gemm, some_board") == "GEMM, some board"


def test_methods_stand_in_their_order_and_unknown_ones_behind_by_name():
    words = Words({"model": {"b": {"order": 2}, "c": {"order": 1}, "a": {}}})
    assert words.ordered("model", ["z", "a", "b", "c", "b"]) == ["c", "b", "a", "z"]
    rows = pd.DataFrame({"model": ["a", "b", "c", "b"], "at": range(4)})
    assert words.sort(rows, ["model"])["at"].tolist() == [2, 1, 3, 0]
