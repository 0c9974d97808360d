"""`fo1 evaluate`: a dataset against gold."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit, say

if TYPE_CHECKING:
    from schemas.corpus import CorpusImage


class Match(StrEnum):
    """When a caption is right."""

    EXACT = "exact"
    WORDS = "words"


def evaluate(
    dataset: Annotated[str, typer.Argument(help="Folder or URL of a finished dataset.")],
    gold: Annotated[str, typer.Option(help="A corpus with gold, e.g. an annotations.jsonl.")],
    caption_match: Annotated[
        Match, typer.Option(help="exact: the caption is gold's; words: all of gold's words occur in it.")
    ] = Match.EXACT,
    as_json: JsonOption = False,
) -> None:
    """Figures of a dataset against gold: proposals, captions, groundings, counts, texts, confidence."""
    from fo1_data.dataset.reader import open_dataset
    from fo1_data.evaluation.scores import evaluate as score

    found = open_dataset(dataset)
    document = score(found.rows(), read_gold(gold), caption_match.value, rejects=found.rejects())
    tell_missing(document["missing"])
    emit(document, as_json)


def tell_missing(missing: Any) -> None:
    """Say how many gold images have no row, and what the figures do with them."""
    if missing["images"]:
        rejected = f" ({missing['rejected']} of them rejected)" if missing["rejected"] else ""
        images = f"{missing['images']} of {missing['gold_images']} gold images"
        told = f"{images} are missing in the dataset{rejected}"
        say(f"{told}: the figures leave them out. With them counted as misses:")
        for part, figures in missing["counted_as_misses"].items():
            lines = ", ".join(f"{name} {value}" for name, value in figures.items() if value is not None)
            say(f"  {part}: {lines}")


def read_gold(gold: str) -> "list[CorpusImage]":
    """All of a gold corpus that can be read; what cannot is counted on standard error."""
    from fo1_data.corpus.readers import read_corpus
    from schemas.corpus import CorpusImage

    entries = list(read_corpus(gold))
    usable = [entry for entry in entries if isinstance(entry, CorpusImage)]
    if len(usable) < len(entries):
        say(f"{len(entries) - len(usable)} lines of the gold cannot be read and are left out")
    return usable
