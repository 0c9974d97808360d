"""A finished dataset in a few figures (`fo1 dataset info`), from its manifest alone."""

from typing import Any

from fo1_data.dataset.counting import boxes_from
from fo1_data.dataset.layout import split_and_index
from fo1_data.dataset.reader import open_dataset


def summarise(address: str) -> dict[str, Any]:
    """Name, version, origin, counts, and files, rows and bytes of each split. Raises DatasetError."""
    dataset = open_dataset(address)
    manifest = dataset.manifest
    splits: dict[str, dict[str, int]] = {}
    for file in dataset.data_files():
        place = split_and_index(file.path)
        totals = splits.setdefault(place[0] if place else "", {"files": 0, "rows": 0, "bytes": 0})
        totals["files"] += 1
        totals["rows"] += file.num_rows
        totals["bytes"] += file.num_bytes
    return {
        "dataset": dataset.store.url,
        "name": manifest.name,
        "version": manifest.version,
        "parent": manifest.parent,
        "created_at": manifest.created_at,
        "schema_version": manifest.schema_version,
        "model": manifest.model.model_dump() if manifest.model else None,
        "proposer": manifest.proposer,
        "boxes_from": boxes_from(manifest),
        "fingerprint": manifest.fingerprint,
        "counts": manifest.counts.model_dump(),
        "splits": splits,
        "duplicates": len(manifest.duplicates),
        "code_version": manifest.code_version,
    }
