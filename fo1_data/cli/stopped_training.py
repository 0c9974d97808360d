"""How a training ends that SIGINT or SIGTERM stopped: in one line, with the exit code of the signal."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from fo1_data.cli.output import say
from fo1_data.runs.stopping import exit_code, stopping_on_sigterm


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """End the command if a signal stops the block where the training does not catch it itself."""
    try:
        with stopping_on_sigterm():
            yield
    except KeyboardInterrupt as stop:
        say("fo1: stopped; run the same command again: it goes on from what was saved last")
        raise typer.Exit(exit_code(stop)) from None


def exit_if_stopped(document: dict[str, Any], out: Path) -> None:
    """End the command if a signal stopped the training, which saved: `document` is what it returned."""
    stopped = document["stopped"] or ""
    if stopped not in signal.Signals.__members__:
        return
    steps = document["steps"]
    saved = f" at step {steps}, saved in {out}" if steps else " before the first step"
    say(f"fo1: stopped{saved}; run the same command again to resume")
    raise typer.Exit(128 + signal.Signals[stopped])
