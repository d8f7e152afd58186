"""Generate the conda environments in envs/ from requirements.txt: `python envs/generate.py`.

A line `numpy==2.4.6  # envs: compiling, plotting` puts the package into these environments.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What each environment is for.
ENVIRONMENTS = {
    "compiling": "Probing platforms; tuning, building and checking libraries.",
    "plotting": "Tables, verdicts and figures.",
    "timing": "Timing libraries, and their peers beside them.",
    "training": "Data, training, import and export: with torch, which is otherwise a peer only.",
}
LINE = re.compile(r"^([\w.-]+==[\w.!]+)  # envs: ([\w, ]+)$", re.MULTILINE)
START = """# {}
# Generated from requirements.txt: make environments.
channels: [conda-forge]
dependencies:
  - python >=3.11
  - pip
  - pip:
"""


def environments(requirements: str) -> dict[str, str]:
    """Return the content of each environment's file by its name.

    Raises
    ------
    ValueError
        If a requirement names an environment that ENVIRONMENTS lacks.
    """
    pins: dict[str, list[str]] = {name: [] for name in ENVIRONMENTS}
    for pin, names in LINE.findall(requirements):
        for name in names.split(", "):
            if name not in pins:
                raise ValueError(f"{pin}: unknown environment {name}; allowed: {', '.join(pins)}")
            pins[name].append(pin)
    return {
        name: START.format(purpose) + "".join(f"      - {pin}\n" for pin in pins[name])
        for name, purpose in ENVIRONMENTS.items()
    }


if __name__ == "__main__":
    for name, content in environments((ROOT / "requirements.txt").read_text()).items():
        (ROOT / f"envs/{name}.yaml").write_text(content)
