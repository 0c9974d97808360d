"""`fo1 evaluate`: compares a dataset with gold."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.plurals import counted

if TYPE_CHECKING:
    from schemas.corpus import CorpusImage


class Match(StrEnum):
    """When a caption is right."""

    EXACT = "exact"
    WORDS = "words"


MATCH_HELP = "A caption is right if it equals the gold caption (exact) or has all of its words (words)."


def evaluate(
    dataset: Annotated[str, typer.Argument(help="Folder or URL of a finished dataset.")],
    gold: Annotated[str, typer.Option(help="A corpus with gold, such as an annotations.jsonl.")],
    caption_match: Annotated[Match, typer.Option(help=MATCH_HELP)] = Match.EXACT,
    as_json: JsonOption = False,
) -> None:
    """Compare a dataset with gold: proposals, captions, groundings, counts, texts and confidence."""
    from fo1_data.dataset.reader import open_dataset
    from fo1_data.evaluation.scores import evaluate as score

    labelled = open_dataset(dataset)
    document = score(labelled.rows(), read_gold(gold), caption_match.value, rejects=labelled.rejects())
    covered: Any = document["gold"]
    say(f"gold covers {covered['with_gold']} of the dataset's {counted(covered['images'], 'image')}")
    _report_missing(document["missing"])
    emit(document, as_json)


def _report_missing(missing: Any) -> None:
    """Print how many gold images have no row, and the figures if they count as misses."""
    if missing["images"]:
        rejected = f" ({missing['rejected']} of them rejected)" if missing["rejected"] else ""
        images = f"{missing['images']} of {missing['gold_images']} gold images"
        say(f"{images} are missing in the dataset{rejected}. The figures leave them out;")
        say("with the missing images counted as misses:")
        for part, figures in missing["counted_as_misses"].items():
            lines = ", ".join(f"{name} {value}" for name, value in figures.items() if value is not None)
            say(f"  {part}: {lines}")


def read_gold(gold: str) -> "list[CorpusImage]":
    """The entries of a gold corpus; what cannot be read of it goes to standard error."""
    from fo1_data.corpus.readers import load_listing

    listing = load_listing(gold)
    if listing.rejects:
        say(f"{counted(len(listing.rejects), 'part')} of the gold left out: not readable, the first of them:")
        say(f"  {listing.rejects[0].message}")
    return listing.entries
