"""`fo1 bench`: the benchmarks, each against its baseline in the same run, and their history."""

from pathlib import Path
from typing import Annotated

import typer

from fo1_data.cli.bench.engine import engine
from fo1_data.cli.bench.history import emit_comparison
from fo1_data.cli.bench.pipeline import pipeline
from fo1_data.cli.bench.reader import reader
from fo1_data.cli.bench.service import service
from fo1_data.cli.bench.signals import signals
from fo1_data.cli.bench.size import size
from fo1_data.cli.output import JsonOption
from fo1_data.errors import UsageError

app = typer.Typer(help="Measure, each against its baseline in the same run.", no_args_is_help=True)
app.command()(engine)
app.command()(pipeline)
app.command()(reader)
app.command()(service)
app.command()(signals)
app.command()(size)


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Compare the last two runs of each benchmark in this file of --history."
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(min=0, help="With --compare: name figures that are worse by more than this share."),
    ] = 0.2,
    strict: Annotated[
        bool, typer.Option("--strict", help="With --compare: exit code 1 if there are such figures.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure, each against its baseline in the same run."""
    if compare is not None:
        is_worse = emit_comparison(compare, tolerance, as_json)
        raise typer.Exit(1 if is_worse and strict else 0)
    if context.invoked_subcommand is None:
        raise UsageError("name a benchmark, or --compare FILE")
