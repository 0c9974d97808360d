"""What the site has beside the files of docs/: the pages of the repository's root and the command reference.

Generated pages exist only in the built site. Navigation entries without a page are left out, so that the
site builds with any subset of the pages.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]

# Files of the root, and their page in the site.
ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, the command reference, and the list of decisions to the navigation."""
    for name, page in ROOT_PAGES.items():
        if (ROOT / name).exists():
            content = root_links((ROOT / name).read_text(encoding="utf-8"))
            files.append(File.generated(config, page, content=content))
    files.append(File.generated(config, "reference/commands.md", content=command_reference()))
    pages = {file.src_uri for file in files.documentation_pages()}
    decisions = sorted(page for page in pages if re.match(r"decisions/\d", page))
    config.nav = kept_entries(config.nav, pages, decisions)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links to the root's files, as they read in the repository, to their pages in the site."""
    for name, target in ROOT_PAGES.items():
        markdown = markdown.replace(f"](../{name})", f"]({target})")
    return markdown


def root_links(text: str) -> str:
    """The text of a file of the root with its links as seen from docs/."""
    text = re.sub(r"\]\(docs/", "](", text)
    for name, page in ROOT_PAGES.items():
        text = text.replace(f"]({name})", f"]({page})")
    return text


def command_reference() -> str:
    """Every command of `fo1` with its arguments and options, as `--help` has them."""
    import typer
    from typer.cli import get_docs_for_click

    from fo1_data.cli.main import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="fo1")
    return text.replace("# `fo1`", "# Commands", 1)


def kept_entries(entries: list[Any], pages: set[str], decisions: list[str]) -> list[Any]:
    """The navigation without entries that have no page; the decisions follow their index."""
    kept: list[Any] = []
    for entry in entries:
        (title, target), *_ = entry.items()
        if isinstance(target, list):
            kept.append({title: kept_entries(target, pages, decisions)})
        elif target == "decisions/index.md":
            kept.append({title: [target, *decisions]})
        elif target in pages:
            kept.append(entry)
    return kept
