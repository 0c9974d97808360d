"""`fo1 calibrate`: confidences and the evidence for thresholds, from a dataset and its gold."""

from typing import Annotated, Any

import typer

from fo1_data.cli.evaluate import Match
from fo1_data.cli.output import JsonOption, emit


def calibrate(
    dataset: Annotated[str, typer.Argument(metavar="DIR", help="Folder or URL of a finished dataset.")],
    gold: Annotated[
        str, typer.Option(help="A corpus with gold, e.g. an annotations.jsonl, or corrections of a review.")
    ],
    out: Annotated[str, typer.Option(help="The calibration file to write.")],
    caption_match: Annotated[
        Match, typer.Option(help="exact: the caption is gold's; words: all of gold's words occur in it.")
    ] = Match.EXACT,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw of held-out images, and of fits.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit how likely each label is right, and keep the evidence that certifies errors."""
    from fo1_data.confidence.calibrate_dataset import calibrate_dataset
    from fo1_data.confidence.calibration_file import write_calibration

    found = calibrate_dataset(dataset, gold, caption_match.value, seed)
    sha256 = write_calibration(found, out)
    kinds: dict[str, Any] = {
        kind.value: {"family": one.model.family, "scope": one.scope, **one.figures.model_dump()}
        for kind, one in found.kinds.items()
    }
    lines = [f"{out}: {len(kinds)} kinds of labels"]
    lines += [f"  {kind}: {_told(one)}" for kind, one in kinds.items()]
    emit({"calibration": out, "sha256": sha256, "kinds": kinds}, as_json, "\n".join(lines))


def _told(figures: dict[str, Any]) -> str:
    right, labels = figures["right"], figures["labels"]
    told = f"{right} of {labels} labels right in {figures['images']} images, "
    told += f"{figures['certified_labels']} more of {figures['certified_images']} images certify"
    if figures["brier"] is not None:
        told += f"; {figures['family']}, Brier {figures['brier']:.3f}, AUROC {figures['auroc']:.3f}"
    return f"{told}; {figures['note']}" if figures["note"] else told
