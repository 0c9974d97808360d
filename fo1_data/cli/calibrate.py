"""`fo1 calibrate`: fits confidences and collects the evidence for thresholds, from a dataset and gold."""

from typing import Annotated, Any

import typer

from fo1_data.cli.evaluate import MATCH_HELP, GoldWithModelLabels, Match, warn_of_model_labels
from fo1_data.cli.output import JsonOption, emit
from fo1_data.cli.readable import readable_table
from fo1_data.plurals import counted


def calibrate(
    dataset: Annotated[str, typer.Argument(metavar="DIR", help="Folder or URL of a finished dataset.")],
    gold: Annotated[
        str, typer.Option(help="Gold: a corpus such as an annotations.jsonl, or the corrections of a review.")
    ],
    out: Annotated[str, typer.Option(help="The calibration file to write.")],
    caption_match: Annotated[Match, typer.Option(help=MATCH_HELP)] = Match.EXACT,
    gold_with_model_labels: GoldWithModelLabels = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the choice of held-out images and of the fits.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit the probability that a label is right, and keep the evidence that certifies error rates."""
    from fo1_data.confidence.calibrate_dataset import calibrate_dataset
    from fo1_data.confidence.calibration_file import write_calibration

    if gold_with_model_labels:
        warn_of_model_labels(gold)
    calibration = calibrate_dataset(dataset, gold, caption_match.value, seed, gold_with_model_labels)
    sha256 = write_calibration(calibration, out)
    kinds: dict[str, Any] = {
        kind.value: {"family": fitted.model.family, "scope": fitted.scope, **fitted.figures.model_dump()}
        for kind, fitted in calibration.kinds.items()
    }
    images = {"images": calibration.dataset_images, "with_gold": calibration.gold_images}
    share = f"{calibration.gold_images} of {counted(calibration.dataset_images or 0, 'image')}"
    line = f"{out}: {counted(len(kinds), 'kind')} of labels; gold for {share} of the dataset"
    table = readable_table({kind: _table_row(figures) for kind, figures in kinds.items()})
    document = {"calibration": out, "sha256": sha256, "gold": images, "kinds": kinds}
    emit(document, as_json, f"{line}\n{table}")


def _table_row(figures: dict[str, Any]) -> dict[str, Any]:
    """The columns of a kind: what was fitted, what certifies, and how good the fit is."""
    missed = figures["missed"] + figures["certified_missed"]
    return {
        "labels": figures["labels"],
        "right": figures["right"],
        "images": figures["images"],
        "labels_that_certify": figures["certified_labels"],
        "of_images": figures["certified_images"],
        "no_verdict_so_wrong": missed or None,
        "family": figures["family"] if figures["brier"] is not None else None,
        "Brier": figures["brier"],
        "AUROC": figures["auroc"],
        "note": figures["note"],
    }
