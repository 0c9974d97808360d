"""`fo1 bench reader`: how fast a published training set is read, against other readers of the same rows."""

import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from fo1_data.cli.bench.history import HistoryOption, emit_figures
from fo1_data.cli.label import require_ray
from fo1_data.cli.output import JsonOption, say
from fo1_data.errors import ConfigError


def reader(
    context: typer.Context,
    dataset: Annotated[
        str | None, typer.Argument(help="A published dataset (default: generated scenes with their gold).")
    ] = None,
    count: Annotated[int, typer.Option(min=16, help="Generated scenes to read.")] = 512,
    seed: Annotated[int, typer.Option(help="Seed of the scenes.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Epochs of each; the fastest of each counts.")] = 2,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure decoded training samples/s: fo1, datasets, WebDataset, Ray Data, MosaicML; two workers each."""
    require_ray()
    from actors.cluster import ray_for
    from fo1_data.benchmarks.reading_rows import write_scene_dataset
    from fo1_data.benchmarks.reading_speed import WORKERS, measure_readers, readers_of
    from schemas.jobs import RunConfig

    if dataset is not None and not Path(dataset).is_dir():
        raise ConfigError(f"{dataset} is not a folder: name a published dataset on a local disk")
    with tempfile.TemporaryDirectory(prefix="fo1-bench-") as scratch, redirect_stdout(sys.stderr):
        folder = Path(dataset) if dataset is not None else Path(scratch) / "dataset"
        if dataset is None:
            say(f"drawing {count} scenes")
            write_scene_dataset(folder, count, seed)
        with ray_for(RunConfig(corpus="-", out=scratch, actors=str(WORKERS))):
            document = measure_readers(readers_of(folder, Path(scratch)), rounds)
    processor_s = document["processor_s_per_1000_rows"]
    lines = [
        f"{name}: {value:,.1f} rows/s, {processor_s[name]:.2f} processor seconds a thousand"
        for name, value in document["rows_per_s"].items()
    ]
    lines += [f"{name}: not measured ({reason})" for name, reason in document["failed"].items()]
    lines.append(f"ratio of fo1 to the fastest other: {document['ratio_to_fastest']}")
    lines.append(
        f"ratio of processor seconds of the cheapest other to fo1: {document['ratio_of_processor_s']}"
    )
    emit_figures(context, document, as_json, "\n".join(lines), history)
