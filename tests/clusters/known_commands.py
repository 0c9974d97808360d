"""Reads a `fo1` command as the program would, without running it."""

from collections.abc import Sequence
from typing import Any

import typer.main

from fo1_data.cli.main import app


def parse_command(arguments: Sequence[str]) -> dict[str, Any]:
    """The options of a command, by name. Raises click's UsageError if `fo1` does not know one."""
    command, rest = typer.main.get_command(app), list(arguments)
    context = command.make_context("fo1", rest[:1], resilient_parsing=True)
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest)
        first = rest[:1] if hasattr(command, "resolve_command") else rest
        context = command.make_context(name, list(first), parent=context)
    return dict(context.params)
