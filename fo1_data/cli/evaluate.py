"""`fo1 evaluate`: compares a dataset with gold."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.plurals import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fo1_data.dataset.reader import Dataset
    from schemas.corpus import CorpusImage


class Match(StrEnum):
    """When a caption is right."""

    EXACT = "exact"
    WORDS = "words"


MATCH_HELP = "A caption is right if it equals the gold caption (exact) or has all of its words (words)."

GoldWithModelLabels = Annotated[
    bool,
    typer.Option(
        "--gold-with-model-labels",
        help="Gold is a dataset of this project, and what its model said counts as gold too. By default only "
        "what came with its corpus and what people wrote or confirmed does.",
    ),
]


def evaluate(
    dataset: Annotated[
        str,
        typer.Argument(help="Folder or URL of a finished dataset, or a file of tracks (MOT, YouTube-VIS)."),
    ],
    gold: Annotated[
        str, typer.Option(help="A corpus with gold, such as an annotations.jsonl or a tracks.jsonl.")
    ],
    caption_match: Annotated[Match, typer.Option(help=MATCH_HELP)] = Match.EXACT,
    gold_with_model_labels: GoldWithModelLabels = False,
    as_json: JsonOption = False,
) -> None:
    """Compare a dataset with gold: proposals, captions, groundings, counts, texts, confidence and tracks."""
    from fo1_data.cli.evaluate_tracks import (
        compare_dataset,
        compare_files,
        is_dataset,
        read_gold_tracks,
        read_tracks,
    )
    from fo1_data.dataset.reader import open_dataset

    if not is_dataset(dataset) and (tracks := read_tracks(dataset, is_gold=False)):
        emit(compare_files(tracks, dataset, gold, caption_match.value), as_json)
        return
    labelled = open_dataset(dataset)
    gold_tracks = read_gold_tracks(gold, with_model_labels=gold_with_model_labels)
    document: dict[str, Any] = {}
    if gold_tracks is not None:
        document = compare_dataset(labelled, gold_tracks, caption_match.value)
    if document:
        figures = _score_images_if_any(labelled, gold, caption_match, gold_with_model_labels)
    else:
        entries = read_gold(gold, labelled, gold_with_model_labels)
        figures = _score_images(labelled, entries, caption_match)
    emit({**figures, **document}, as_json)


def _score_images_if_any(
    labelled: "Dataset", gold: str, caption_match: Match, with_model_labels: bool
) -> dict[str, Any]:
    """The figures of images beside those of tracks; none if gold has no image, or none of the dataset's."""
    from fo1_data.errors import CorpusError, UsageError

    try:
        entries = read_gold(gold, labelled, with_model_labels, passed_over=("no_video",))
        return _score_images(labelled, entries, caption_match) if entries else {}
    except (CorpusError, UsageError) as error:
        say(f"only tracks are compared: {error}")
        return {}


def _score_images(
    labelled: "Dataset", entries: "Sequence[CorpusImage]", caption_match: Match
) -> dict[str, Any]:
    from fo1_data.confidence.stored_signals import StoredSignals
    from fo1_data.dataset.light_rows import light_rows
    from fo1_data.evaluation.scores import evaluate as score

    document = score(
        light_rows(labelled, pixels=False),
        entries,
        caption_match.value,
        rejects=labelled.rejects(),
        read_signals=StoredSignals(labelled),
    )
    covered: Any = document["gold"]
    say(f"gold covers {covered['with_gold']} of the dataset's {counted(covered['images'], 'image')}")
    report_missing(document["missing"])
    return document


def report_missing(missing: Any) -> None:
    """Print how many gold images have no row, and the figures if they count as misses."""
    if missing["images"]:
        rejected = f" ({missing['rejected']} of them rejected)" if missing["rejected"] else ""
        images = f"{missing['images']} of {missing['gold_images']} gold images"
        say(f"{images} are missing in the dataset{rejected}. The figures leave them out")
        if missing["counted_as_misses"]:
            say("with the missing images counted as misses:")
        for part, figures in missing["counted_as_misses"].items():
            lines = ", ".join(f"{name} {value}" for name, value in figures.items() if value is not None)
            say(f"  {part}: {lines}")


def read_gold(
    gold: str, dataset: "Dataset", with_model_labels: bool = False, passed_over: "Sequence[str]" = ()
) -> "Sequence[CorpusImage]":
    """The gold of a dataset's images; what is not read of it, and why, goes to standard error.

    passed_over: reasons of rejects that are not told.
    """
    from fo1_data.judging.gold_files import load_gold_of

    if with_model_labels:
        warn_of_model_labels(gold)
    listing = load_gold_of(gold, dataset, with_model_labels)
    for source in listing.sources:
        for note in source.notes:
            say(f"{source.source}: {note}")
    rejects = [reject for reject in listing.rejects if reject.reason not in passed_over]
    if rejects:
        say(f"{counted(len(rejects), 'part')} of the gold left out: not readable, the first of them:")
        say(f"  {rejects[0].message}")
    return listing.entries


def warn_of_model_labels(gold: str) -> None:
    """Say what figures mean if a model's labels are gold."""
    say(f"labels of a model count as gold ({gold}): figures say how often two models agree, not who is right")
