"""The provenance of an artifact: config, code, versions and machine of its job."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dlas.environment import relevant


def record(
    rule: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    params: Mapping[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """Return the provenance record of a job that ends now.

    Parameters
    ----------
    rule : str
        The job's rule.
    inputs, outputs : sequence of str
        The paths that the job read and wrote.
    params : dict
        The parameters of the rule. `settings` has the config values that the job depends on, `code`
        the hash of its script and all imports.
    seconds : float
        Run time of the job.

    Returns
    -------
    dict
        The arguments, the versions of all imported packages, the machine and the time.
    """
    return {
        "rule": rule,
        "inputs": list(inputs),
        "outputs": list(outputs),
        "params": dict(params),
        "versions": versions(),
        "machine": machine(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
    }


def versions() -> dict[str, str]:
    """Return the version of Python and of each imported package that has one."""
    found = {
        name: vars(module).get("__version__")
        for name, module in sorted(sys.modules.items())
        if "." not in name and name not in sys.stdlib_module_names
    }
    known = {name: version for name, version in found.items() if isinstance(version, str)}
    return {"python": platform.python_version()} | known


def machine() -> dict[str, Any]:
    """Return name, processor, logical cores, system and environment of this machine."""
    return {
        "name": platform.node(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "environment": relevant(os.environ),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
