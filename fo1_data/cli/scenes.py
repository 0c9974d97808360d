"""`fo1 scenes`: writes generated scenes as a corpus with gold."""

from pathlib import Path
from typing import Annotated

import typer

from fo1_data.cli.output import JsonOption, emit


def scenes(
    out: Annotated[Path, typer.Option(help="A new folder for images/ and annotations.jsonl.")],
    count: Annotated[int, typer.Option(min=1, help="How many scenes.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="The first scene's seed; the next ones follow.")] = 0,
    min_objects: Annotated[int, typer.Option(min=1, max=100, help="The least objects tried in a scene.")] = 5,
    max_objects: Annotated[int, typer.Option(min=1, max=100, help="The most objects tried in a scene.")] = 20,
    corruption: Annotated[
        float,
        typer.Option(min=0, max=1, help="How much harder to see than in training: blur, clutter, noise."),
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Write generated scenes, the same for the same seed, with exact captions, phrases and counts."""
    from fo1_data.errors import ConfigError
    from fo1_data.synthetic.gold import write_scenes

    if min_objects > max_objects:
        raise ConfigError("--min-objects is more than --max-objects")
    listing = write_scenes(out, count, seed, (min_objects, max_objects), corruption)
    emit({"corpus": str(listing), "images": count, "seed": seed}, as_json, f"{count} scenes in {listing}")
