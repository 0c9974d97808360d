"""TODO-DOC."""

from collections.abc import Sequence

_MAX_MENTIONED = 4


def mentions(labels: Sequence[str | None]) -> list[tuple[str, list[int]]]:
    """What a grounded caption mentions: the first labels in the regions' order, each with all its regions."""
    found: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        if label is not None:
            found.setdefault(label, []).append(index)
    return list(found.items())[:_MAX_MENTIONED]


def join_mentions(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
