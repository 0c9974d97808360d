"""Words as the text of a detector: how many tokens it takes at once, and what has to be left out of a word.

A phrase of the corpus that is longer than the detector takes is cut after its last word that fits; the model
is asked about all of it. Words of the settings are refused instead, before anything is labelled.
"""

from collections.abc import Callable, Mapping, Sequence

from fo1_data.errors import ConfigError

# Of the text made of some words.
CountTokens = Callable[[Sequence[str]], int]


def in_groups(words: Sequence[str], count_tokens: CountTokens, most_tokens: int) -> list[list[str]]:
    """The words in runs whose text the detector takes, as few as possible."""
    groups: list[list[str]] = []
    for word in words:
        if groups and count_tokens([*groups[-1], word]) <= most_tokens:
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups


def cut_to_fit(word: str, count_tokens: CountTokens, most_tokens: int) -> str:
    """The first words of a phrase that the detector takes, at least one."""
    parts = word.split()
    while len(parts) > 1 and count_tokens([" ".join(parts)]) > most_tokens:
        parts.pop()
    return " ".join(parts)


def refuse_long_words(
    spec: str, words: Mapping[str, str], count_tokens: CountTokens, most_tokens: int
) -> None:
    """Raise ConfigError for a word of the settings that the detector does not take as a whole.

    words: each with its text for the detector.
    """
    for word, text in words.items():
        num_tokens = count_tokens([text])
        if num_tokens > most_tokens:
            raise ConfigError(
                f"{word!r} is {num_tokens} tokens long and {spec} takes {most_tokens}: "
                "shorten it in --vocabulary or --phrases, or use another detector"
            )
