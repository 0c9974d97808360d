"""`fo1 train-detector`: fine-tunes the bundled detector on known boxes."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.cli.stopped_training import ended_by_signals, exit_if_stopped
from fo1_data.training.detection.settings import DetectorConfig
from schemas.input_settings import LEAST_TILE_PX, MOST_TILE_PX

_DEFAULTS = DetectorConfig()


def train_detector(
    datasets: Annotated[
        list[str], typer.Argument(help="Datasets, or corpora with boxes of everything: folders or URLs.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the detector; --proposals takes it.")],
    detector: Annotated[
        str, typer.Option(help="Detector to begin with: fo1-tiny, or a folder of this command.")
    ] = "fo1-tiny",
    validation: Annotated[
        list[str] | None,
        typer.Option(help="Dataset or corpus to validate on; repeat it for several. Default: as for train."),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(help="Dataset or corpus to measure the result on; nothing is chosen by it."),
    ] = None,
    resume_from: Annotated[
        Path | None,
        typer.Option(help="Folder of a run to go on from, into --out: its weights, optimiser and step."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = _DEFAULTS.steps,
    batch_images: Annotated[int, typer.Option(min=1, help="Images per step.")] = _DEFAULTS.batch_images,
    learning_rate: Annotated[
        float, typer.Option(min=0, help="Learning rate between warm-up and decay.")
    ] = _DEFAULTS.learning_rate,
    validation_share: Annotated[
        float,
        typer.Option(min=0, max=0.99, help="Share of the images to hold out for validation, as for train."),
    ] = _DEFAULTS.validation_share,
    tile_px: Annotated[
        int | None,
        typer.Option(
            min=LEAST_TILE_PX,
            max=MOST_TILE_PX,
            help="Show images that are larger in overlapping tiles of so many pixels a side. Rows that were "
            "labelled in tiles are shown so anyway.",
        ),
    ] = None,
    long_edge_px: Annotated[
        int | None,
        typer.Option(
            min=64,
            max=2048,
            help="Shrink larger images and tiles to so many pixels on the long edge, here and in labelling. "
            "Default: by the size of the boxes, so that it sees most of them whole.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = _DEFAULTS.seed,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: torch's choice.")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:0. Default: a GPU if there is one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train the detector to find the things of your images. Run the same command again to resume it."""
    from fo1_data.training.detection.run import train_detector as run

    config = DetectorConfig(
        steps=steps,
        batch_images=batch_images,
        learning_rate=learning_rate,
        validation_share=validation_share,
        tile_px=tile_px,
        long_edge_px=long_edge_px,
        seed=seed,
        threads=threads,
        device=device,
    )
    with ended_by_signals():
        document = run(
            datasets, out, config, detector, validation or [], test or [], say, resume_from=resume_from
        )
        exit_if_stopped(document, out)
    text = f"{out}: {_found(document['before'], document['best'])}"
    if document["test"] is not None:
        text += f"; on test images it {_found(document['test_before'], document['test'])}"
    emit(document, as_json, text)


def _found(before: dict[str, Any], now: dict[str, Any]) -> str:
    return (
        f"finds {now['recall']:.2f} of the boxes ({before['recall']:.2f} before), "
        f"{now['precision']:.2f} of its own are right ({before['precision']:.2f} before)"
    )
