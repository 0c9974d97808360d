"""The output of every command: a result on standard output, as JSON or text; messages on standard error."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from fo1_data.cli.readable import readable

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]

console = Console(stderr=True, highlight=False, soft_wrap=True)


def emit(document: dict[str, Any], as_json: bool, text: str | None = None) -> None:
    """Print a command's result: `document` as JSON, or `text` for people (default: `readable`)."""
    if as_json:
        print(json.dumps(document, ensure_ascii=False, allow_nan=False))
    else:
        print(readable(document) if text is None else text)


def say(message: str) -> None:
    """Print one line for people on standard error."""
    console.print(message, markup=False)
