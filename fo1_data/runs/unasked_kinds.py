"""Kinds of labels for which a run has nothing to ask, because neither its settings nor the corpus name it."""

from collections.abc import Callable

from fo1_data.corpus.entry_list import EntryList
from fo1_data.labelling.word_lists import CORPUS_WORDS, plain_words
from schemas.corpus import CorpusImage
from schemas.jobs import RunConfig
from schemas.labels import LabelKind


def unasked_kinds(config: RunConfig, entries: EntryList) -> list[str]:
    """A sentence for each kind that no image of the corpus can be asked, with what would help."""
    sentences = []
    kinds = config.labels
    if LabelKind.GROUND in kinds and config.phrases is None and not _any_entry(entries, "phrases", _phrases):
        sentences.append("ground asks nothing: the corpus has no phrases; give some with --phrases FILE")
    if LabelKind.VISUAL_EXAMPLE in kinds and not _any_entry(entries, "example", _has_example):
        sentences.append("visual_example asks nothing: no region of the corpus is marked as an example")
    counting = [kind for kind in (LabelKind.DETECT, LabelKind.COUNT) if kind in kinds]
    needs_counts = bool(counting) and config.vocabulary and not plain_words(config)
    if needs_counts and not _any_entry(entries, "counts", _counts):
        names, verb = " and ".join(counting), "ask" if len(counting) > 1 else "asks"
        sentences.append(f"{names} {verb} nothing: the corpus has no counts whose words {CORPUS_WORDS} names")
    return sentences


def _phrases(entry: CorpusImage) -> bool:
    return bool(entry.phrases)


def _counts(entry: CorpusImage) -> bool:
    return bool(entry.counts)


def _has_example(entry: CorpusImage) -> bool:
    return any(region.example for region in entry.regions or [])


def _any_entry(entries: EntryList, member: str, has: Callable[[CorpusImage], bool]) -> bool:
    """Whether an entry has something; only records that hold the name of the member are parsed."""
    name = f'"{member}"'.encode()
    found = (record for record in entries.records() if record[:1] == b"{" and name in record)
    return any(has(CorpusImage.model_validate_json(record)) for record in found)
