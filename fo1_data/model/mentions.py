"""What a grounded caption mentions, and how it lists it: the form in which the model is trained to answer."""

from collections.abc import Sequence

_MAX_MENTIONS = 4


def mentions(labels: Sequence[str | None]) -> list[tuple[str, list[int]]]:
    """The first labels in the order of the regions, at most 4, each with the indices of all its regions.

    labels: the label of each region, or None for a region without a label.
    """
    indices: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        if label is not None:
            indices.setdefault(label, []).append(index)
    return list(indices.items())[:_MAX_MENTIONS]


def join_mentions(parts: Sequence[str]) -> str:
    """Join parts to `a, b and c`. There must be at least one part."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
