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
from fo1_data.cli.output import JsonOption
from fo1_data.errors import UsageError

app = typer.Typer(help="Measure, each against its baseline in the same run.", no_args_is_help=True)
app.command()(engine)
app.command()(pipeline)
app.command()(reader)
app.command()(service)
app.command()(signals)


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Compare the last two runs of each benchmark in this file of --history."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure, each against its baseline in the same run."""
    if compare is not None:
        emit_comparison(compare, as_json)
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise UsageError("name a benchmark, or --compare FILE")
