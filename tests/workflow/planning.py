"""What the tests of the workflow share: where the project is, and what a dry run tells."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def jobs_of(output: str) -> dict[str, int]:
    """Return how many jobs of each rule a dry run tells."""
    table = re.search(r"^Job stats:\n.*\n[- ]+\n((?:.+\n)+)", output, re.MULTILINE)
    if table is None:
        assert "Nothing to be done" in output, output
        return {}
    jobs = dict(line.split() for line in table[1].splitlines())
    return {rule: int(count) for rule, count in jobs.items() if rule not in ("total", "all")}
