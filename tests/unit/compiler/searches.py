"""What the tests of both searches say of trials and records."""


def trials(layer, whole=100):
    return {"layer": layer, "network": whole}


def lines(records):
    """The records of all workloads, a line each."""
    return {
        file.parent.name: file.read_bytes().splitlines(keepends=True)
        for file in records.glob("*/records.jsonl")
    }


def count(records):
    return sum(map(len, lines(records).values()))
