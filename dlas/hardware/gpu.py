"""What this machine's GPU is. A process of its own asks: one that has asked cannot be forked any more, as tuning is."""

import json
import subprocess
import sys
from functools import cache
from typing import Any

import tvm

from dlas.compiler.processes import environment
from dlas.errors import StudyError


@cache
def facts(kind: str) -> dict[str, Any]:
    """Return what TVM's targets of a kind, such as "cuda", say of this machine's first GPU; empty without one."""
    asked = subprocess.run(
        [sys.executable, "-m", __name__, kind],
        capture_output=True,
        text=True,
        env=environment(),
    )
    if asked.returncode:
        lines = asked.stderr.strip().splitlines() or ["no reason given"]
        raise StudyError(f"the GPU of kind {kind} gives no answer: {lines[-1]}")
    answer: dict[str, Any] = json.loads(asked.stdout.splitlines()[-1])
    return answer


def _facts(kind: str) -> dict[str, Any]:
    gpu = tvm.device(kind)
    if not gpu.exist:
        return {}
    return {
        "arch": f"sm_{str(gpu.compute_version).replace('.', '')}",
        "max_threads_per_block": int(gpu.max_threads_per_block),
        "max_shared_memory_per_block": int(gpu.max_shared_memory_per_block),
        "thread_warp_size": int(gpu.warp_size),
    }


if __name__ == "__main__":
    print(json.dumps(_facts(sys.argv[1])))
