"""`fo1 scenes`: writes generated scenes, still or moving, or texts to read, as a corpus with gold."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fo1_data.cli.output import JsonOption, console, emit
from fo1_data.plurals import counted

_STILL, _MOVING, _TEXTS = (5, 20), (3, 7), (1, 4)
_TOLD_EVERY = 20


class TextSet(StrEnum):
    """Which of two sets of strings, which share none, texts are drawn from."""

    TRAIN = "train"
    HELD_OUT = "held-out"


def scenes(
    out: Annotated[
        Path,
        typer.Option(help="New folder for images/ and annotations.jsonl, or for videos/ and tracks.jsonl."),
    ],
    count: Annotated[int, typer.Option(min=1, help="Number of scenes.")] = 100,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first scene; each next scene has the next seed.")
    ] = 0,
    min_objects: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, help="Smallest number of objects to place: 5, or 3 in moving scenes, 1 text."
        ),
    ] = None,
    max_objects: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, help="Largest number of objects to place: 20, or 7 in moving scenes, 4 texts."
        ),
    ] = None,
    corruption: Annotated[
        float,
        typer.Option(min=0, max=1, help="Strength of blur, clutter and noise. 0: as in training."),
    ] = 0.0,
    moving: Annotated[
        bool, typer.Option("--moving", help="Write videos of things that move, with gold tracks.")
    ] = False,
    frames: Annotated[int, typer.Option(min=2, help="Frames of a moving scene.")] = 60,
    fps: Annotated[float, typer.Option(min=1, max=240, help="Frames a second of a moving scene.")] = 12.5,
    cuts: Annotated[int, typer.Option(min=0, help="Cuts in a moving scene, at even distances.")] = 0,
    texts: Annotated[
        TextSet | None,
        typer.Option(help="Write images of texts to read, in place of shapes. No string is in both sets."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write generated scenes with exact captions, phrases and counts, moving ones with tracks, or texts.

    The same seed gives the same scenes.
    """
    from fo1_data.errors import ConfigError
    from fo1_data.synthetic.gold import write_scenes
    from fo1_data.synthetic.moving_gold import write_moving_scenes
    from fo1_data.synthetic.snippets import write_snippets

    if texts is not None and (moving or corruption > 0):
        raise ConfigError("--texts goes with neither --moving nor --corruption: leave one out")
    fewest, most = _MOVING if moving else _STILL if texts is None else _TEXTS
    fewest = min(fewest, max_objects or fewest) if min_objects is None else min_objects
    most = max(most, fewest) if max_objects is None else max_objects
    if fewest > most:
        raise ConfigError("--min-objects is larger than --max-objects")
    if not moving:
        if texts is None:
            listing = write_scenes(out, count, seed, (fewest, most), corruption)
        else:
            listing = write_snippets(out, count, seed, (fewest, most), held_out=texts is TextSet.HELD_OUT)
        emit(
            {"corpus": str(listing), "images": count, "seed": seed},
            as_json,
            f"{counted(count, 'scene')} in {listing}",
        )
        return
    if corruption > 0:
        raise ConfigError("--corruption is for scenes that stand still: leave it or --moving out")
    if frames < 5 * (cuts + 1):
        raise ConfigError(
            f"{counted(cuts, 'cut')} in {frames} frames leave shots of fewer than 5 frames: "
            "lower --cuts or raise --frames"
        )

    def tell(number: int) -> None:
        if number % _TOLD_EVERY == 0 and number < count:
            console.print(f"{number} of {counted(count, 'moving scene')}", highlight=False)

    listing = write_moving_scenes(out, count, seed, frames, fps, (fewest, most), cuts, tell)
    emit(
        {"gold": str(listing), "videos": count, "seed": seed},
        as_json,
        f"{counted(count, 'moving scene')} in {out / 'videos'}, their tracks in {listing}",
    )
