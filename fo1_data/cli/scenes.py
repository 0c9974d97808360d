"""`fo1 scenes`: writes generated scenes as a corpus with gold."""

from pathlib import Path
from typing import Annotated

import typer

from fo1_data.cli.output import JsonOption, emit
from fo1_data.plurals import counted


def scenes(
    out: Annotated[Path, typer.Option(help="New folder for images/ and annotations.jsonl.")],
    count: Annotated[int, typer.Option(min=1, help="Number of scenes.")] = 100,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first scene; each next scene has the next seed.")
    ] = 0,
    min_objects: Annotated[
        int, typer.Option(min=1, max=100, help="Smallest number of objects to place in a scene.")
    ] = 5,
    max_objects: Annotated[
        int, typer.Option(min=1, max=100, help="Largest number of objects to place in a scene.")
    ] = 20,
    corruption: Annotated[
        float,
        typer.Option(min=0, max=1, help="Strength of blur, clutter and noise. 0: as in training."),
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Write generated scenes with exact captions, phrases and counts. The same seed gives the same scenes."""
    from fo1_data.errors import ConfigError
    from fo1_data.synthetic.gold import write_scenes

    if min_objects > max_objects:
        raise ConfigError("--min-objects is larger than --max-objects")
    listing = write_scenes(out, count, seed, (min_objects, max_objects), corruption)
    emit(
        {"corpus": str(listing), "images": count, "seed": seed},
        as_json,
        f"{counted(count, 'scene')} in {listing}",
    )
