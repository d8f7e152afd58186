"""The documentation: nothing in it leads nowhere, names what is not there, or is out of date."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import expect

from dlas.analysis import by_machine, recommendation, rows, table
from dlas.config.documentation import schema
from dlas.config.messages import MOVED
from dlas.registry import KINDS
from documentation import hooks, reference
from tests.browser import Visit, launched
from tests.markdown import PAGES, ROOT, anchors, links, names

CODE = sorted(
    file
    for place in (
        "dlas/**/*.py",
        "workflow/**/*.py",
        "rules/*.smk",
        "benchmarks/**/*.py",
        "Snakefile",
    )
    for file in ROOT.glob(place)
)
TARGETS = set(re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
FOLDERS = (
    "benchmarks bundles config dlas docs documentation envs profiles report rules tests workflow"
)
FILE = re.compile(rf"({'|'.join(FOLDERS.split())})/[\w./-]+")
# Files that a reader writes, a benchmark's records, and a study's bundles.
OWN = re.compile(r"config/mine\.yaml|benchmarks/records/|bundles/.+")
PLUGIN = re.compile(rf"dlas/({'|'.join(folder for folder, _ in KINDS.values())})/\w+\.py")
SCHEMA = schema()
KEY = re.compile(
    rf"(?<![\w.])({'|'.join(SCHEMA['properties'])})(\.(?!csv|html|json|md|png|py|rst|smk|so|yaml)[a-z0-9_]+)+"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page):
    wrong = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        if re.match(r"https?://|mailto:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        inside = target.exists() and target.is_relative_to(ROOT)
        if not inside or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_target_and_key_in_backticks_exists(page):
    shown = page.parent.name in ("how-to", "tutorial")  # how to write a plugin
    wrong = [
        name for name in names(page) if _unknown(name) and not (shown and PLUGIN.fullmatch(name))
    ]
    # The changelog names what is no more.
    assert not wrong or page.name == "CHANGELOG.md"


def test_every_file_target_and_key_that_a_message_names_exists():
    wrong = []
    for file in CODE:
        for text in _texts(file):
            found = re.findall(r"\b(?:docs|config)/[\w/-]+\.(?:md|yaml|json)(?:#[\w-]+)?", text)
            found += re.findall(r"`make [\w-]+", text)
            wrong += [
                f"{file.relative_to(ROOT)}: {name}" for name in found if _unknown(name.strip("`"))
            ]
            for key in KEY.finditer(text):
                if key[0] not in MOVED and not _is_key(key[0].split(".")):
                    wrong.append(f"{file.relative_to(ROOT)}: {key[0]} {text!r}")
    assert not wrong


def _unknown(name: str) -> bool:
    """Return whether a name looks like a file, make target or config key, and there is none."""
    if make := re.match(r"make ([a-z][\w-]*)", name):
        return make[1] not in TARGETS
    path, _, anchor = name.partition("#")
    if FILE.fullmatch(path) and not OWN.fullmatch(path):
        file = ROOT / path
        return not file.exists() or bool(anchor and anchor not in anchors(file))
    return bool(KEY.fullmatch(name)) and not _is_key(name.split("."))


def _is_key(names: list[str], part: dict | None = None) -> bool:
    """Return whether dotted names lead to a key of the config; `x` stands for any name."""
    part = SCHEMA if part is None else part
    if "$ref" in part:
        return _is_key(names, SCHEMA["$defs"][part["$ref"].rpartition("/")[2]])
    if not names:
        return True
    if kinds := part.get("oneOf"):
        return any(_is_key(names, kind) for kind in kinds)
    if part.get("type") == "array":
        # An entry has its place or its name.
        return _is_key(names[1:], part["items"]) or _is_key(names, part["items"])
    first, *rest = names
    known = part.get("properties", {})
    inner = [known[first]] if first in known else [*part.get("patternProperties", {}).values()]
    if first == "x":
        inner += known.values()
    if isinstance(part.get("additionalProperties"), dict):
        inner.append(part["additionalProperties"])
    return any(_is_key(rest, one) for one in inner)


def _texts(file: Path) -> Iterator[str]:
    """Yield the texts in a file of code but docstrings; `x` stands for what is filled in."""
    if file.suffix != ".py":
        yield from re.findall(r'"([^"\n]*)"', re.sub(r"\{[^{}\n]*\}", "x", file.read_text()))
        return
    tree = ast.parse(file.read_text())
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    inside |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) else "x" for part in node.values
            )
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in inside
        ):
            yield node.value


@pytest.mark.parametrize("file", reference.pages(), ids=lambda file: file.name)
def test_the_generated_reference_is_up_to_date(file):
    assert file.read_text() == reference.pages()[file], "run make docs-reference"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site without a warning."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_of_the_site_fits_a_laptop_and_a_phone(site):
    """And asks for nothing from outside, in light and dark mode."""
    # The page of a server for wrong addresses has absolute links.
    pages = sorted({*site.rglob("*.html")} - {site / "404.html"})
    assert len(pages) > 10
    with launched() as browser:
        for width, scheme in ((1366, "light"), (390, "dark")):
            size = {"width": width, "height": 800}
            visit = Visit(browser.new_page(viewport=size, color_scheme=scheme))
            for page in pages:
                visit.page.goto(page.as_uri())
                wide = visit.page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (page, wide)
            look = visit.page.locator("body").get_attribute("data-md-color-scheme")
            assert look == {"light": "default", "dark": "slate"}[scheme]
            visit.end()


def test_the_search_works_on_pages_from_disk(site):
    with launched() as browser:
        visit = Visit(browser.new_page())
        visit.page.goto((site / "reference/columns.html").as_uri())
        visit.page.locator(".md-search__input").click()
        visit.page.keyboard.type("noise floor")
        expect(visit.page.locator(".md-search-result__meta")).to_contain_text("matching documents")
        visit.end()


@pytest.mark.parametrize(
    ("markdown", "here", "there"),
    [
        ("[a](../../dlas/files.py)", "a", "[a](https://forge/x/blob/main/dlas/files.py)"),
        ("[a/b](../../a/b)", "`a/b`", "[a/b](https://forge/x/blob/main/a/b)"),
        ("[`a`](../../README.md#b)", "`a`", "[`a`](https://forge/x/blob/main/README.md#b)"),
        ("[a](../start.md)", "[a](../start.md)", "[a](../start.md)"),
        ("[a](https://b.c/d)", "[a](https://b.c/d)", "[a](https://b.c/d)"),
        ("![a](../../benchmarks/results/b.png)", *["![a](../benchmarks/results/b.png)"] * 2),
        ("```\n[a](../../b)\n```", *["```\n[a](../../b)\n```"] * 2),
    ],
)
def test_a_link_out_of_the_docs_leads_to_the_repository_or_is_text(markdown, here, there):
    page = "how-to/data.md"
    assert hooks.outside_links(markdown, page, None) == here
    assert hooks.outside_links(markdown, page, "https://forge/x") == there


def test_a_folder_of_the_navigation_stands_for_its_other_pages(tmp_path):
    (tmp_path / "a").mkdir()
    for name in "bcd":
        (tmp_path / f"a/{name}.md").touch()
    assert hooks.expanded(tmp_path, ["a/c.md", "a/"]) == ["a/c.md", "a/b.md", "a/d.md"]
    assert hooks.expanded(tmp_path, "a.md") == "a.md"


def test_the_readme_fits_on_one_screen():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 75


@pytest.mark.parametrize(
    ("title", "columns"),
    [
        ("## results/study.csv", rows.STUDY_COLUMNS),
        ("## results/samples.csv.gz", rows.SAMPLES_COLUMNS),
        ("## results/noise_floor.csv", rows.NOISE_FLOOR_COLUMNS),
        ("## results/peers.csv", rows.PEERS_COLUMNS),
        ("## results/accuracy_curves.csv", table.CURVES_COLUMNS),
        ("## results/recommendation.csv", recommendation.COLUMNS),
        ("`verdicts_by_machine.csv`", by_machine.COLUMNS),
    ],
)
def test_the_reference_has_every_column_of_a_table(title, columns):
    page = (ROOT / "docs/reference/columns.md").read_text()
    lines = page.partition(f"\n{title}")[2].partition("\n|")[2].partition("\n\n")[0].splitlines()
    found = [name for line in lines[2:] for name in line.split(" | ")[0].strip("| ").split(", ")]
    assert sorted(found) == sorted(columns)


def test_the_badges_are_true():
    (licence, python, snakemake) = re.findall(
        r"img\.shields\.io/badge/\w+-([^)]*)-blue", (ROOT / "README.md").read_text()
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert licence.replace("_", "-") == project["license"]
    assert unquote(python) == project["requires-python"].replace(">=", "≥_")
    least = re.search(r'min_version\("(.*)"\)', (ROOT / "Snakefile").read_text())[1]
    assert unquote(snakemake) == f"≥_{least}"
