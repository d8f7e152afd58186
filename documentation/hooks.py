"""Hooks of the site: list the pages of a folder, and let links and figures leave docs/.

MkDocs calls the functions; `mkdocs.yml` names this file.
"""

import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File

# [text](target), with ! before it where it is an image.
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
FENCE = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)
# The branch whose files the links lead to.
BRANCH = "main"


def on_config(config: Any) -> Any:
    """Replace each folder of the navigation by its pages."""
    docs = Path(config["docs_dir"])
    config["nav"] = [
        {title: expanded(docs, value) for title, value in entry.items()} for entry in config["nav"]
    ]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the figures of the benchmarks to the site, under their path in the repository."""
    root = Path(config["docs_dir"]).parent
    for figure in sorted(root.glob("benchmarks/results/*.png")):
        place = figure.relative_to(root).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(figure)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Rewrite the links of a page that lead out of docs/."""
    return outside_links(markdown, page.file.src_uri, config["repo_url"])


def on_post_build(config: Any) -> None:
    """Write the index of the search as a script too: a page opened from disk can load no JSON."""
    index = Path(config["site_dir"]) / "search/search_index.json"
    index.with_suffix(".js").write_text(f"var __index = {index.read_text()}")


def expanded(docs: Path, value: str | list[str]) -> str | list[str]:
    """Return an entry of the navigation with the pages of a folder in its place.

    Parameters
    ----------
    docs : Path
        The folder of all pages.
    value : str or list of str
        A page, a folder with a slash at its end, or several of them. Pages listed before their
        folder are not repeated.
    """
    if isinstance(value, str) and not value.endswith("/"):
        return value
    listed: list[str] = []
    for one in [value] if isinstance(value, str) else value:
        found = (
            sorted(file.relative_to(docs).as_posix() for file in (docs / one).glob("*.md"))
            if one.endswith("/")
            else [one]
        )
        listed += [name for name in found if name not in listed]
    return listed


def outside_links(markdown: str, page: str, repository: str | None) -> str:
    """Return a page whose links to files outside docs/ lead to the repository.

    Without the address of a repository only the text of the link stays. Images are in the site
    under their path in the repository.

    Parameters
    ----------
    markdown : str
        The page.
    page : str
        Its path below docs/.
    repository : str or None
        The address of the repository on its forge.
    """

    def replace(link: re.Match[str]) -> str:
        image, text, target = link.groups()
        path, hash_, anchor = target.partition("#")
        place = posixpath.normpath(PurePosixPath("docs", page).parent / path)
        if ":" in target or not path or place.startswith("docs/"):
            return link[0]
        if image:
            return f"![{text}]({posixpath.relpath(place, PurePosixPath(page).parent)})"
        if repository:
            return f"[{text}]({repository.rstrip('/')}/blob/{BRANCH}/{place}{hash_}{anchor})"
        # The name of a file is code.
        return f"`{text}`" if re.fullmatch(r"[\w-]*[./][\w./-]*", text) else text

    parts = FENCE.split(markdown)
    # Every second part is a fence.
    parts[::2] = [LINK.sub(replace, part) for part in parts[::2]]
    return "".join(parts)
