"""`fo1 bench service`: the speed of lists over many regions, and of a review round trip."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from fo1_data.cli.bench.history import HistoryOption, emit_figures
from fo1_data.cli.output import JsonOption, say


def service(
    context: typer.Context,
    regions: Annotated[int, typer.Option(min=1000, help="Regions in the database.")] = 1_000_000,
    requests: Annotated[int, typer.Option(min=10, help="Requests of each kind.")] = 300,
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

    from services.benchmarks.listing import listing_summary, make_bench_app, measure_listing
    from services.benchmarks.review_round_trip import measure_reviews, review_summary

    say(f"filling the database with {regions} regions")
    with tempfile.TemporaryDirectory(prefix="fo1-bench-") as home:
        app = make_bench_app(Path(home), database)
        figures = asyncio.run(measure_listing(app, regions, requests))
    text = listing_summary(figures)
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
