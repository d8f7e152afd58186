"""The pictures of finished studies in docs/images/, called by `documentation.verdicts`."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from documentation.reference import ROOT
from tests.browser import launched

IMAGES = ROOT / "docs/images"
WIDTH = 1440
# Figures that have another name in plots/.
SOURCES = {"tuning_speedup.png": "observation_05.png", "pairs.png": "observation_14.png"}


def renew(studies: Iterable[Path]) -> None:
    """Replace each figure by that of the first study which has it in plots/.

    The report and the explorer of the first study are photographed where report.html and
    results/explore.html are there.
    """
    first, *others = studies
    for study in (*reversed(others), first):
        for image in IMAGES.glob("*.png"):
            figure = study / "plots" / SOURCES.get(image.name, image.name)
            if figure.exists():
                shrink(figure, image)
    if (first / "report.html").exists():
        photograph(first / "report.html", IMAGES / "report.png", 1400, 1300)
    if (first / "results/explore.html").exists():
        photograph(first / "results/explore.html", IMAGES / "explore.png", 1280, 1030)


def shrink(figure: Path, image: Path) -> None:
    """Write a figure at most WIDTH pixels wide in 256 colours: a quarter of its bytes."""
    with Image.open(figure) as picture:
        picture.thumbnail((WIDTH, 10 * WIDTH))
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(image, optimize=True)


def photograph(page: Path, image: Path, width: int, height: int) -> None:
    """Write what a browser shows of a page; in the explorer two configurations are compared."""
    with launched() as browser:
        view = browser.new_page(viewport={"width": width, "height": height})
        view.goto(page.resolve().as_uri())
        view.wait_for_load_state("networkidle")
        if page.name == "explore.html":
            for place in (0, 8):
                view.locator("#rows tbody input").nth(place).check()
            view.evaluate("scrollTo(0, 0)")
        view.wait_for_timeout(1000)
        view.screenshot(path=image)
