"""The report, opened in a browser: what a reader sees, and that nothing is fetched from outside."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Locator, expect
from playwright.sync_api import TimeoutError as NotShownError

from dlas import study
from dlas.plugins import LAYERS
from tests.browser import Visit, launched

pytestmark = pytest.mark.xdist_group("smoke")  # of the worker that has made the study

PARTS = ("How to read it", "Decision rule", "Data")
IMAGES = ("image/svg+xml", "image/png", "image/jpeg")


class ReportVisit(Visit):
    """A reader's look at the report."""

    def shown(self) -> dict:
        """Return the source, width and place of the shown image, once it is there."""
        image = self.page.locator("#app .p-3 > img")
        expect(image).to_have_count(1)
        self.page.wait_for_function("document.querySelector('#app .p-3 > img').complete")
        return image.evaluate(
            "image => ({source: image.src, width: image.naturalWidth, "
            "top: image.getBoundingClientRect().top})"
        )

    def open(self, link: Locator) -> None:
        """Open a result's view; a click that is lost while the menu is redrawn is repeated."""
        for patience in (3_000, 3_000, 60_000):
            link.click()
            with suppress(NotShownError):
                self.page.locator("#app .p-3 > img, #app iframe").wait_for(timeout=patience)
                return
        pytest.fail("a click opens no view")

    def home(self) -> None:
        self.page.locator("nav ol a").first.click()

    def caption(self):
        return self.page.locator("nav .prose")


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def report(browser, finished) -> Path:
    return finished.report()


@pytest.fixture
def visit(browser, report) -> Iterator[ReportVisit]:
    """The report as it opens; whatever is wrong with it is told at the end."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    visit = ReportVisit(page)
    page.goto(report.as_uri())
    expect(page.locator("nav").first).to_be_visible()
    yield visit
    visit.end()


@pytest.fixture
def results(visit) -> dict[str, dict]:
    """Return the results by path, as the report has them: labels, caption, mime_type, data_uri."""
    return visit.page.evaluate("results")


def test_the_first_page_has_every_verdict_and_its_links_open_the_figures(visit, results, finished):
    verdicts = pd.read_csv(finished.folder / "results/observations.csv", dtype=str)
    assert len(verdicts) == 15
    rows = visit.page.locator(".verdicts tbody tr")
    expect(rows).to_have_count(len(verdicts))
    for position, row in enumerate(verdicts.itertuples()):
        cells = rows.nth(position).locator("td").all_inner_texts()
        assert cells[0] == row.observation
        assert cells[1].lower().startswith(row.claim.lower())
        assert cells[2:4] == [row.origin, row.verdict] and cells[5] == row.n
        rows.nth(position).get_by_role("link").click()
        figure = visit.shown()
        path = study.path("plot", number=row.observation, extension="svg")
        assert figure["width"] > 0 and figure["source"] == results[path]["data_uri"]
        assert figure["top"] >= 0
        expect(visit.caption()).to_contain_text(row.claim[1:])
        visit.home()


def test_every_result_is_in_its_category_with_a_label_a_view_and_a_caption(visit, results):
    categories = visit.page.evaluate("categories")
    assert set(categories) <= set(LAYERS)
    for category, subcategories in categories.items():
        for subcategory, path in (
            (name, path) for name in subcategories for path in subcategories[name]
        ):
            visit.home()
            visit.page.get_by_role("link", name=category, exact=True).click()
            if len(subcategories) > 1:
                visit.page.get_by_role("link", name=subcategory, exact=True).click()
            lines = visit.page.locator("nav tbody tr")
            expect(lines).to_have_count(len(subcategories[subcategory]))
            # One: of a second label that two results differ in, Snakemake makes a switch, and
            # fails.
            (label,) = results[path]["labels"].values()
            line = lines.filter(has=visit.page.get_by_text(label, exact=True))
            view, information = line.get_by_role("link").all()
            if results[path]["mime_type"] in IMAGES:
                visit.open(view)
                figure = visit.shown()
                assert figure["width"] > 0 and figure["source"] == results[path]["data_uri"]
            elif results[path]["mime_type"] == "text/html":
                visit.open(view)
                page = visit.page.frame_locator("#app iframe")
                expect(page.locator("table tbody tr").first).to_be_visible()
            else:
                assert view.get_attribute("href").startswith("data:"), path
            information.click()
            expect(visit.caption()).to_be_visible()
            assert visit.caption().locator("dt").all_inner_texts() == list(PARTS), path
            parts = visit.caption().locator("p, dd").all_inner_texts()
            assert all(len(part) > 20 for part in parts) and len(parts) >= 1 + len(PARTS), path


def test_every_observation_tells_its_verdict_in_its_caption(results, finished):
    verdicts = pd.read_csv(finished.folder / "results/observations.csv", dtype=str)
    for row in verdicts.itertuples():
        path = study.path("plot", number=row.observation, extension="svg")
        caption = results[path]["caption"]
        assert f'<strong class="{row.verdict}">{row.verdict.capitalize()}</strong>' in caption
        assert results[path]["labels"] == {"figure": f"Observation {row.observation}: {row.claim}"}


def test_the_first_page_links_to_the_page_to_explore(visit, finished):
    rows = len(pd.read_csv(finished.folder / "results/study.csv"))
    visit.page.get_by_role("link", name="Explore all configurations").click()
    expect(visit.page).to_have_title("Explore the study")
    expect(visit.page.locator("#count")).to_contain_text(f"{rows} of {rows} rows")


def test_no_text_of_the_report_is_ill_formed(visit, results):
    wrong = [path for path, result in results.items() if "system-message" in result["caption"]]
    assert wrong == []
    assert "system-message" not in visit.page.evaluate("workflow_desc")


@pytest.mark.parametrize("view", ["Workflow", "Statistics", "About"])
def test_the_other_views_open(visit, view):
    visit.page.get_by_role("link", name=view, exact=True).click()
    expect(visit.page.locator("nav").first).to_be_visible()
