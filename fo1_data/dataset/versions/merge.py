"""Corrections merged into a dataset: its next version, in a folder of its own.

Data files without a corrected row are shared by hard link where the stores allow, else copied; the
others are written anew. Each corrected row is made from the row as it was before any correction and
from all corrections ever merged, so that merging twice, or in parts, gives the same rows.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fo1_data.dataset.corrections.apply import apply_corrections
from fo1_data.dataset.corrections.routed_like import routed_like
from fo1_data.dataset.counting import count_rows
from fo1_data.dataset.history import CorrectionHistory
from fo1_data.dataset.manifest import next_version
from fo1_data.dataset.reader import Dataset, image_ids_of, open_dataset
from fo1_data.dataset.versions.compare import differing_columns
from fo1_data.dataset.versions.derive import VersionWriter
from fo1_data.errors import DatasetError
from schemas.corrections import Correction
from schemas.dataset import Counts, Manifest, ManifestFile
from schemas.images import ImageRow


@dataclass
class MergeReport:
    """What a merge did: new corrections by action, those left out, images and files that changed."""

    manifest: Manifest
    merged: dict[str, int] = field(default_factory=dict)


def merge_corrections(address: str, corrections: Iterable[Correction], out: str) -> MergeReport:
    """Write the dataset at `address` with the corrections into `out`.

    Raises DatasetError where none of them is of an image of the dataset, or `out` is not empty.
    """
    dataset = open_dataset(address)
    history = dataset.history()
    before = CorrectionHistory(dict(history.corrections), dict(history.originals))
    given = list(corrections)
    new = history.add(given)
    touched = _files_of(dataset, {one.image_id for one in given})
    if given and not touched:
        raise DatasetError(
            f"none of the {len(given)} corrections is of an image of {dataset.store.url}: "
            "they belong to another dataset"
        )
    writer = VersionWriter(out, dataset.manifest, {"merge": _digest(new)}, dataset.store.url)
    old_counts, new_counts, images, num_shared = Counts(), Counts(), 0, 0
    wanted = {one.image_id for one in given}
    merging = _Merging(before, history, {one.correction_id for one in new})
    for file in dataset.data_files():
        if file.path not in touched:
            num_shared += writer.share(dataset.store, file)
            continue
        rows = list(dataset.rows_of(file))
        made = [merging.merged(row) if row.image_id in wanted else row for row in rows]
        old_counts, new_counts = old_counts + count_rows(rows), new_counts + count_rows(made)
        images += sum(one != row for one, row in zip(made, rows, strict=True))
        writer.rewrite(file.path, made)
    known = history.only(lambda image_id: image_id in history.originals)
    merged = {"corrections": len(given), "new": len(new), "images": images, **merging.effects}
    merged |= {"unmatched": len(history.corrections) - len(known.corrections)}
    merged |= {"files_rewritten": len(dataset.data_files()) - num_shared, "files_shared": num_shared}
    manifest = writer.seal(
        next_version(dataset.manifest.version),
        list(dataset.rejects()),
        dataset.manifest.duplicates,
        history=known,
        base_counts=dataset.manifest.counts - old_counts + new_counts,
        more={"merged": merged},
    )
    return MergeReport(manifest, merged)


class _Merging:
    """Rows corrected one by one; their originals go into `history`, what was `new` is counted."""

    def __init__(self, before: CorrectionHistory, history: CorrectionHistory, new: set[str]) -> None:
        self._originals = before.originals
        self._earlier, self._all = before.by_image(), history.by_image()
        self._history, self._new = history, new
        self._effects: Counter[str] = Counter()

    @property
    def effects(self) -> dict[str, int]:
        """How many new corrections of each action took effect, and how many were left out."""
        return {name: self._effects[name] for name in sorted(self._effects)}

    def merged(self, row: ImageRow) -> ImageRow:
        """The corrected row, its pixels and addresses as they are now."""
        first, base = self._grounds(row)
        self._history.keep_original(first)
        applied = apply_corrections(base, self._all[row.image_id])
        self._effects.update(one.action.value for one in applied.done if one.correction_id in self._new)
        self._effects["left_out"] += sum(one.correction_id in self._new for one in applied.left_out)
        return applied.row

    def _grounds(self, row: ImageRow) -> tuple[ImageRow, ImageRow]:
        """The row as it was before anybody corrected it, and the row that corrections are applied to.

        They are one unless the row was labelled again since: then it is its own ground.
        """
        first = self._originals.get(row.image_id)
        if first is None:
            return row, row
        first = first.model_copy(update={"image": row.image, "uri": row.uri, "uris": row.uris})
        earlier = self._earlier.get(row.image_id, [])
        for ground in (first, routed_like(first, row, earlier)):
            if not differing_columns(apply_corrections(ground, earlier).row, row):
                return ground, ground
        return first, row


def _files_of(dataset: Dataset, wanted: set[str]) -> set[str]:
    """The data files that hold a row of one of the images."""
    return {file.path for file in dataset.data_files() if _holds(dataset, file, wanted)}


def _holds(dataset: Dataset, file: ManifestFile, wanted: set[str]) -> bool:
    return any(image_id in wanted for image_id in image_ids_of(dataset.store, file))


def _digest(corrections: Sequence[Correction]) -> str:
    names = sorted(one.correction_id for one in corrections)
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()
