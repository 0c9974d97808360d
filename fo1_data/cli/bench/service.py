"""`fo1 bench service`: the speed of lists over many regions, and of a review round trip."""

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from fo1_data.cli.bench.history import HistoryOption, emit_figures
from fo1_data.cli.output import JsonOption, say
from fo1_data.plurals import counted


def service(
    context: typer.Context,
    regions: Annotated[int, typer.Option(min=1000, help="Regions in the database.")] = 1_000_000,
    requests: Annotated[int, typer.Option(min=10, help="Requests of each kind.")] = 300,
    clients: Annotated[
        int, typer.Option(min=0, help="Clients that list samples of a running service at once (0: none).")
    ] = 50,
    seconds: Annotated[float, typer.Option(min=1, help="How long the clients do so.")] = 60,
    database: Annotated[
        str | None, typer.Option(help="URL of an empty database (default: SQLite in a temporary folder).")
    ] = None,
    reviews: Annotated[
        int, typer.Option(min=0, help="LsTasks to push to a real Label Studio started for this (0: none).")
    ] = 2_000,
    reviewer: Annotated[
        int, typer.Option(min=0, help="Tasks that a scripted reviewer confirms and corrects (0: none).")
    ] = 0,
    kills: Annotated[int, typer.Option(min=0, help="Random kills while pushing and pulling.")] = 0,
    label_studio: Annotated[
        str | None, typer.Option(help="URL of a running Label Studio; its token is FO1_LABEL_STUDIO_TOKEN.")
    ] = None,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the lists of the service, and pushing and pulling reviews. The database must be empty."""
    import asyncio

    from services.benchmarks.list_load import load_summary, measure_load
    from services.benchmarks.listing import listing_summary, make_bench_app, measure_listing
    from services.benchmarks.review_round_trip import measure_reviews, review_summary

    say(f"filling the database with {counted(regions, 'region')}")
    with tempfile.TemporaryDirectory(prefix="fo1-bench-") as home:
        app = make_bench_app(Path(home), database)

        async def measure() -> dict[str, Any]:
            figures = await measure_listing(app, regions, requests)
            return {**figures, "load": await measure_load(app, clients, seconds)} if clients else figures

        figures = asyncio.run(measure())
    text = listing_summary(figures)
    text += f"\n  {load_summary(figures['load'])}" if clients else ""
    if reviews:
        review_figures = measure_reviews(
            label_studio, os.environ.get("FO1_LABEL_STUDIO_TOKEN"), reviews, kills=kills, say=say
        )
        figures = {**figures, "reviews": review_figures}
        text = f"{text}\n{review_summary(review_figures)}"
    if reviewer:
        from services.benchmarks.reviewing import measure_reviewing, reviewing_summary

        reviewing = measure_reviewing(reviewer, say=say)
        figures = {**figures, "reviewing": reviewing}
        text = f"{text}\n{reviewing_summary(reviewing)}"
    emit_figures(context, figures, as_json, text, history)
