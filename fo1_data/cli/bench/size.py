"""`fo1 bench size`: the cost of a listed image, a shard and a row in every step, and how it grows."""

from typing import Annotated, Any

import typer

from fo1_data.cli.bench.history import HistoryOption, emit_figures
from fo1_data.cli.output import JsonOption, say


def size(
    context: typer.Context,
    rows: Annotated[
        int, typer.Option(min=16, help="Rows of the largest size; the others are a quarter and a sixteenth.")
    ] = 4000,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure processor time a URI, shard and row: listing, finishing, validate, merge, report and others."""
    from fo1_data.benchmarks.size_speed import bench_size

    document = bench_size(rows, say)
    emit_figures(context, document, as_json, _text(document), history)


def _text(document: dict[str, Any]) -> str:
    from fo1_data.benchmarks.size_speed import MEASURES, SCALES

    lines = [
        f"{'':14}{'microseconds a':>16}"
        + "".join(f"{f'{scale} x':>12}" for scale in SCALES)
        + f"{'growth':>9}{'at most':>9}"
    ]
    for measure in MEASURES:
        figures = document["measures"][measure.name]
        costs = "".join(f"{figures[f'us_at_{scale}']:>12,.1f}" for scale in SCALES)
        most = "-" if measure.most_us is None else f"{measure.most_us:,.0f}"
        lines.append(f"{measure.name:14}{measure.unit:>16}{costs}{figures['growth']:>9.2f}{most:>9}")
    lines.append(f"memory of a listed URI: {document['listing_bytes']:.0f} bytes (at most 200)")
    share = f"limits of a file x {document['rows']:,} / 1,000,000"
    lines.append(f"Parquet files of 1 M images: {document['files_of_a_million']} (at most 500; {share})")
    return "\n".join(lines)
