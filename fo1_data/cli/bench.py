"""`fo1 bench`: measures, each against its baseline in the same run."""

import typer

from fo1_data.cli.bench_engine import engine
from fo1_data.cli.bench_pipeline import pipeline
from fo1_data.cli.bench_reader import reader
from fo1_data.cli.bench_service import service
from fo1_data.cli.bench_signals import signals

app = typer.Typer(help="Measure, each against its baseline in the same run.", no_args_is_help=True)
app.command()(engine)
app.command()(pipeline)
app.command()(reader)
app.command()(service)
app.command()(signals)
