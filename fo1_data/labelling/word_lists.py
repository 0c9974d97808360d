"""TODO-DOC."""

from pathlib import Path
from typing import TYPE_CHECKING

from fo1_data.errors import ConfigError
from schemas.jobs import RunConfig

if TYPE_CHECKING:
    pass


OWN_WORDS = "@corpus"


def read_phrases(path: str | None) -> list[str]:
    """The phrases of a `--phrases` file, one a line; ConfigError where it cannot be read or has none."""
    if path is None:
        return []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--phrases {path}: cannot be read: {error}") from error
    phrases = [line.strip() for line in lines if line.strip()]
    if not phrases:
        raise ConfigError(f"--phrases {path}: no phrase in it (one a line)")
    return phrases


def refuse_unsupported(config: RunConfig) -> None:
    """ConfigError for settings that no labeller can serve: a word of the vocabulary with a special sign."""
    unknown = [word for word in config.vocabulary if word.startswith("@") and word != OWN_WORDS]
    if unknown:
        raise ConfigError(f"vocabulary: {unknown[0]} is no word; {OWN_WORDS} stands for each image's own")
