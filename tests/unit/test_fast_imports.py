"""PyTorch and TVM as the scripts import them: without the parts that no job uses."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

TRAINED = """
import sys
from fast_imports import torch
from dlas import models

network = models.build("resnet18", 10, 0.125, "small_input")
optimizer = torch.optim.{optimizer}(network.parameters(), lr=0.1)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=2)
before = [parameter.clone() for parameter in network.parameters()]
network(torch.ones(2, 3, 16, 16)).sum().backward()
optimizer.step()
schedule.step()
assert any((one != two).any() for one, two in zip(before, network.parameters()))
assert sys.modules.keys().isdisjoint({{"torch._dynamo.config", "sympy"}})
"""
TVM_ALONE = """
import os, sys
from fast_imports import tvm

assert "torch" not in sys.modules and "TVM_DEVICE_BACKEND_AUTOLOAD" not in os.environ
import torch

assert torch.ones(2).sum() == 2 and tvm.runtime.tensor([1.0]).numpy() == 1
"""
ASKED_FOR = {
    "a part": "import torch._dynamo.config as found; assert found.recompile_limit",
    "a name": "from torch._dynamo import optimize",
    "a part that stands for itself": "from torch._dynamo.utils import counters",
    "its use": """
compiled = torch.compile(lambda number: number + 1, backend="eager")
assert compiled(torch.ones(1)) == 2
from torch._dynamo.utils import counters
assert counters["stats"]["calls_captured"] == 1
""",
}


def ran(code: str) -> None:
    program = f"import sys; sys.path[:0] = ['workflow/scripts']\n{code}"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_training_goes_without_the_compiler() -> None:
    for optimizer in ("SGD", "AdamW"):
        ran(TRAINED.format(optimizer=optimizer))


def test_whoever_asks_for_the_compiler_gets_it() -> None:
    for asked in ASKED_FOR.values():
        ran(
            f"from fast_imports import torch\n{asked}\nassert 'torch._dynamo.config' in sys.modules"
        )


def test_tvm_is_imported_without_torch_which_may_follow() -> None:
    ran(TVM_ALONE)
