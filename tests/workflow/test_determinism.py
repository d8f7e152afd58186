"""With one seed and on one machine two runs make the same."""

from tests.workflow.comparing import digests
from tests.workflow.project import Project

TECHNIQUES = ("none", "weight_pruning", "int8")  # `make test-faults` compares all
# Of one model, all that is trained, compressed, calibrated, chosen and imported.
MADE = tuple(
    f"results/{place}"
    for place in (
        "datasets/digits_8x8.npz",
        "models/digits_8x8/resnet18/*.safetensors",
        *(
            f"{kind}/digits_8x8/resnet18/{one}/*"
            for kind in ("compressed", "networks")
            for one in TECHNIQUES
        ),
    )
)


def test_two_runs_make_the_same_networks_byte_by_byte(finished: Project, fresh: Project) -> None:
    targets = [f"results/networks/digits_8x8/resnet18/{one}/network.json" for one in TECHNIQUES]
    fresh.snakemake(*targets, "--cores", "2")
    made = digests(fresh.folder, MADE)
    assert len(made) > 20
    assert made == digests(finished.folder, MADE)
