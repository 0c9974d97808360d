"""Corrections merged into a dataset: its next version, in a folder of its own.

Data files without a corrected row are shared by hard link if the stores allow, else copied; the others
are written anew. Each corrected row is made from the row before any correction and from all corrections
ever merged, so that merging twice, or in parts, gives the same rows. Corrections of annotations that no
longer count in their review are taken back: the rows are as if they had never been said.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
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
    """The new version, and counts: new corrections by action, left out, changed images and files."""

    manifest: Manifest
    merged: dict[str, int] = field(default_factory=dict)


def merge_corrections(
    address: str, corrections: Iterable[Correction], out: str, *, reviews: Collection[str] = ()
) -> MergeReport:
    """Write the dataset at `address` with the corrections into `out`.

    `reviews`: keys of the reviews of which `corrections` hold all that counts now: what was merged from them
    before and is not among `corrections` is taken back.
    Raises DatasetError if no correction is of an image of the dataset, or if `out` is not empty.
    """
    dataset = open_dataset(address)
    history = dataset.history()
    before = CorrectionHistory(dict(history.corrections), dict(history.originals))
    listed = list(corrections)
    new = history.add(listed)
    retracted = _retracted(history, listed, reviews)
    for correction in retracted:
        del history.corrections[correction.correction_id]
    image_ids = {correction.image_id for correction in [*listed, *retracted]}
    touched = _files_of(dataset, image_ids)
    if listed and not touched:
        raise DatasetError(
            f"none of the {len(listed)} corrections is of an image of {dataset.store.url}: "
            "they belong to another dataset"
        )
    writer = VersionWriter(out, dataset.manifest, {"merge": _digest([*new, *retracted])}, dataset.store.url)
    old_counts, new_counts, images, num_shared = Counts(), Counts(), 0, 0
    merging = _Merging(before, history, {correction.correction_id for correction in new})
    for file in dataset.data_files():
        if file.path not in touched:
            num_shared += writer.share(dataset.store, file)
            continue
        rows = list(dataset.rows_of(file))
        corrected = [merging.merged(row) if row.image_id in image_ids else row for row in rows]
        old_counts, new_counts = old_counts + count_rows(rows), new_counts + count_rows(corrected)
        images += sum(new_row != row for new_row, row in zip(corrected, rows, strict=True))
        writer.rewrite(file.path, corrected)
    corrected_ids = {correction.image_id for correction in history.corrections.values()}
    kept = history.only(lambda image_id: image_id in history.originals and image_id in corrected_ids)
    merged = {"corrections": len(listed), "new": len(new), "images": images, **merging.effects}
    merged |= {"retracted": len(retracted)} if retracted else {}
    merged |= {"unmatched": len(history.corrections) - len(kept.corrections)}
    merged |= {"files_rewritten": len(dataset.data_files()) - num_shared, "files_shared": num_shared}
    manifest = writer.seal(
        next_version(dataset.manifest.version),
        list(dataset.rejects()),
        dataset.manifest.duplicates,
        history=kept,
        base_counts=dataset.manifest.counts - old_counts + new_counts,
        more={"merged": merged},
    )
    return MergeReport(manifest, merged)


class _Merging:
    """Corrects rows, keeps their originals in `history` and counts the `new` corrections."""

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
        first, base = self._base_rows(row)
        self._history.keep_original(first)
        applied = apply_corrections(base, self._all.get(row.image_id, []))
        self._effects.update(
            correction.action.value for correction in applied.done if correction.correction_id in self._new
        )
        self._effects["left_out"] += sum(
            correction.correction_id in self._new for correction in applied.left_out
        )
        return applied.row

    def _base_rows(self, row: ImageRow) -> tuple[ImageRow, ImageRow]:
        """The row before any correction, and the row that corrections are applied to.

        They are the same unless the row was labelled again since: then corrections apply to that row.
        """
        first = self._originals.get(row.image_id)
        if first is None:
            return row, row
        first = first.model_copy(update={"image": row.image, "uri": row.uri, "uris": row.uris})
        earlier = self._earlier.get(row.image_id, [])
        for base in (first, routed_like(first, row, earlier)):
            if not differing_columns(apply_corrections(base, earlier).row, row):
                return base, base
        return first, row


def _retracted(
    history: CorrectionHistory, corrections: Sequence[Correction], reviews: Collection[str]
) -> list[Correction]:
    """The corrections of a history whose annotation, of one of the reviews, has none in `corrections`."""
    present = {correction.annotation_key for correction in corrections}
    return [
        correction
        for correction in history.corrections.values()
        if review_of(correction) in reviews and correction.annotation_key not in present
    ]


def review_of(correction: Correction) -> str:
    """The key of the review that an annotation belongs to; empty if it is of none."""
    return correction.annotation_key.rpartition("/")[0]


def _files_of(dataset: Dataset, image_ids: set[str]) -> set[str]:
    """The data files that hold a row of one of the images."""
    return {file.path for file in dataset.data_files() if _holds(dataset, file, image_ids)}


def _holds(dataset: Dataset, file: ManifestFile, image_ids: set[str]) -> bool:
    return any(image_id in image_ids for image_id in image_ids_of(dataset.store, file))


def _digest(corrections: Sequence[Correction]) -> str:
    names = sorted(correction.correction_id for correction in corrections)
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()
