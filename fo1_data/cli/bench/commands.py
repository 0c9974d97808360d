"""`fo1 bench`: measures, each against its baseline in the same run."""

import typer

from fo1_data.cli.bench.engine import engine
from fo1_data.cli.bench.pipeline import pipeline
from fo1_data.cli.bench.reader import reader
from fo1_data.cli.bench.service import service
from fo1_data.cli.bench.signals import signals

app = typer.Typer(help="Measure, each against its baseline in the same run.", no_args_is_help=True)
app.command()(engine)
app.command()(pipeline)
app.command()(reader)
app.command()(service)
app.command()(signals)
