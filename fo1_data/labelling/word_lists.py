"""The phrases and vocabulary of a run: read, checked, and completed by what an entry brings along."""

from collections.abc import Sequence
from pathlib import Path

from fo1_data.errors import ConfigError, one_line
from fo1_data.model.reserved_tokens import clean_phrase
from fo1_data.proposals.sought_words import SoughtWords
from schemas.corpus import CorpusImage
from schemas.jobs import RunConfig

CORPUS_WORDS = "@corpus"


def read_phrases(path: str | None) -> list[str]:
    """The phrases of a text file, one per line; none for None.

    Raises ConfigError if the file cannot be read, has no phrase, or has one of reserved tokens alone.
    """
    if path is None:
        return []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"phrases: {path} cannot be read: {one_line(error)}") from error
    phrases = [line.strip() for line in lines if line.strip()]
    if not phrases:
        raise ConfigError(f"phrases: {path} holds no phrase (write one per line)")
    _refuse_markup(f"phrases: {path}", phrases)
    return phrases


def refuse_unknown_words(config: RunConfig) -> None:
    """Raise ConfigError for a word that starts with `@` but has no meaning, or of reserved tokens alone."""
    _refuse_markup("vocabulary", config.vocabulary)
    unknown = [word for word in config.vocabulary if word.startswith("@") and word != CORPUS_WORDS]
    if unknown:
        raise ConfigError(
            f"vocabulary: {unknown[0]} has no meaning; {CORPUS_WORDS} stands for the words of its counts"
        )


def _refuse_markup(where: str, phrases: Sequence[str]) -> None:
    empty = next((phrase for phrase in phrases if not clean_phrase(phrase)), None)
    if empty is not None:
        raise ConfigError(f"{where}: {empty!r} is markup of the prompt, not a phrase: remove it")


def plain_words(config: RunConfig) -> list[str]:
    """The vocabulary without `@corpus`."""
    return [word for word in config.vocabulary if word != CORPUS_WORDS]


def vocabulary_of(entry: CorpusImage, config: RunConfig) -> list[str]:
    """The words to detect and count in an image; `@corpus` adds the words that its own counts name."""
    own = [count.text for count in entry.counts] if CORPUS_WORDS in config.vocabulary else []
    return [*plain_words(config), *own]


def sought_words(config: RunConfig, phrases: Sequence[str]) -> SoughtWords:
    """What a detector that is told what to look for is told. phrases: those of the settings.

    Without any, the phrases that the corpus has for an image are looked for in it.
    """
    return SoughtWords(
        fixed=(*plain_words(config), *phrases),
        own_phrases=not phrases,
        own_counts=CORPUS_WORDS in config.vocabulary,
    )
