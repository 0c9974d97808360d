"""How `fo1 dataset diff` shows a difference: as its JSON document, and in lines for people."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fo1_data.dataset.versions.compare import Difference
    from fo1_data.dataset.versions.compare_tracks import TableDifference

# Lines of changes in one image that are printed.
_MOST_CHANGES = 10


def difference_document(difference: "Difference") -> dict[str, Any]:
    """The JSON document of a difference. `videos`, `tracks`: only if a dataset has such rows."""
    return {
        "equal": difference.equal,
        "only_a": difference.only_a,
        "only_b": difference.only_b,
        "changed": [
            {
                "image_id": image_id,
                "file": difference.files[image_id],
                "columns": names,
                "changes": difference.changes[image_id],
                "regions": difference.regions.get(image_id, {}),
            }
            for image_id, names in difference.changed.items()
        ],
        "files": difference.files,
        "merged": difference.merged,
        **{name: asdict(table) for name, table in _tables(difference).items()},
    }


def difference_text(difference: "Difference", first: str, second: str) -> str:
    """A difference for people: `-` only in `first`, `+` only in `second`, `~` changed, then totals."""
    return "\n".join(_lines(difference, first, second))


def _lines(difference: "Difference", first: str, second: str) -> Iterator[str]:
    yield from (f"- {difference.files[image_id]}" for image_id in difference.only_a)
    yield from (f"+ {difference.files[image_id]}" for image_id in difference.only_b)
    for image_id in difference.changed:
        changes = difference.changes[image_id]
        yield f"~ {difference.files[image_id]}"
        yield from (f"    {change}" for change in changes[:_MOST_CHANGES])
        if len(changes) > _MOST_CHANGES:
            yield f"    and {len(changes) - _MOST_CHANGES} more"
    merged = (f"{number} {name.replace('_', ' ')}" for name, number in (difference.merged or {}).items())
    if difference.merged:
        yield f"merged into {second}: {', '.join(merged)}"
    counts = f"{difference.equal} equal, {len(difference.changed)} changed"
    yield f"{counts}, {len(difference.only_a)} only in {first}, {len(difference.only_b)} only in {second}"
    for name, table in _tables(difference).items():
        yield from (f"- {name[:-1]} {part}" for part in table.only_a)
        yield from (f"+ {name[:-1]} {part}" for part in table.only_b)
        yield from (f"~ {name[:-1]} {part}: {'; '.join(changes)}" for part, changes in table.changed.items())
        counts = f"{name}: {table.equal} equal, {len(table.changed)} changed"
        yield f"{counts}, {len(table.only_a)} only in {first}, {len(table.only_b)} only in {second}"


def _tables(difference: "Difference") -> dict[str, "TableDifference"]:
    """The tables beside the images that have rows in one of the datasets."""
    tables = {"videos": difference.videos, "tracks": difference.tracks}
    return {name: table for name, table in tables.items() if table.equal or not table.is_empty}
