"""Corrections merged into a dataset: its next version, in a folder of its own.

Data files without a corrected row are shared by hard link if the stores allow, else copied; the others
are written anew. Each corrected row is made from the row before any correction and from all corrections
that count, so that merging at once, twice, in parts or in any order gives the same rows. Corrections that no
longer count in their review are withdrawn: the rows are as if they had never been said.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from fo1_data.dataset.arrow_columns import numpy_to_array, to_array
from fo1_data.dataset.corrections.routed_like import routed_like
from fo1_data.dataset.corrections.track_rows import apply_with_tracks, said_of_regions
from fo1_data.dataset.counting import count_rows
from fo1_data.dataset.history import CorrectionHistory
from fo1_data.dataset.layout import VIDEOS
from fo1_data.dataset.manifest import next_version
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.dataset.row_batches import files_of, places_of, regular_batches, replace_rows
from fo1_data.dataset.rows import table_to_rows
from fo1_data.dataset.versions.compare import differing_columns
from fo1_data.dataset.versions.derive import VersionWriter, counts_of
from fo1_data.dataset.versions.merge_tracks import TrackMerging
from fo1_data.errors import DatasetError
from schemas.corrections import Correction, CorrectionAction
from schemas.dataset import Counts, Manifest
from schemas.images import ImageRow


@dataclass
class MergeReport:
    """The new version, and counts: corrections by action, withdrawn ones, changed images and files."""

    manifest: Manifest
    merged: dict[str, int] = field(default_factory=dict)


def merge_corrections(
    address: str, corrections: Iterable[Correction], out: str, *, reviews: Collection[str] = ()
) -> MergeReport:
    """Write the dataset at `address` with the corrections into `out`.

    `reviews`: keys of the reviews of which `corrections` hold all that counts now: what was merged from them
    before and is not among `corrections` is withdrawn.
    Raises DatasetError if no correction is of an image of the dataset, or if `out` is not empty.
    """
    dataset = open_dataset(address)
    history = dataset.history()
    before = CorrectionHistory(
        dict(history.corrections),
        dict(history.originals),
        dict(history.track_originals),
        dict(history.other_videos),
    )
    listed = list(corrections)
    history.follow(listed, reviews, datetime.now(UTC).isoformat())
    new = _minus(history, before)
    gone = _minus(before, history)
    tracks = TrackMerging(dataset, before, history, {change.correction_id for change in new})
    named = {change.image_id for change in [*listed, *gone]}
    image_ids = to_array(sorted(named | tracks.image_ids), pa.string())
    touched = files_of(dataset, image_ids)
    is_known = not named.isdisjoint(tracks.video_ids) or _has_video(dataset, named)
    if listed and not touched and not is_known:
        raise DatasetError(
            f"none of the {len(listed)} corrections is of an image or video of {dataset.store.url}: "
            "they belong to another dataset"
        )
    writer = VersionWriter(out, dataset.manifest, {"merge": _digest([*new, *gone])}, dataset.store.url)
    begun_again = {correction.image_id for correction in gone if not correction.is_of_track}
    if any(correction.is_of_track for correction in gone):
        begun_again |= tracks.image_ids
    merging = _Merging(before, history, new, begun_again, tracks)
    num_shared = _write_rows(dataset, writer, merging, image_ids, touched)
    of_tracks = tracks.write(writer)
    in_dataset = (
        merging.image_ids
        | {*tracks.video_ids}
        | {correction.image_id for correction in before.corrections.values()}
        | {*before.originals}  # also of rows that only their tracks' corrections changed
    )
    kept = history.only(in_dataset.__contains__)
    merged = _totals(listed, new, gone, merging, of_tracks)
    merged |= {"unmatched": len(history.effective()) - len(kept.effective())}
    merged |= {"files_rewritten": len(dataset.data_files()) - num_shared, "files_shared": num_shared}
    manifest = writer.seal(
        next_version(dataset.manifest.version),
        list(dataset.rejects()),
        dataset.manifest.duplicates,
        history=kept,
        base_counts=counts_of(dataset) - merging.old_counts + merging.new_counts,
        more={"merged": merged},
    )
    return MergeReport(manifest, merged)


def _write_rows(
    dataset: Dataset,
    writer: VersionWriter,
    merging: "_Merging",
    image_ids: pa.StringArray,
    touched: Collection[str],
) -> int:
    """Write the `touched` files anew, with the rows of these images corrected; share the others.

    Returns how many are shared.
    """
    num_shared = 0
    for file in dataset.data_files():
        if file.path in touched:
            batches = regular_batches(dataset.store, file.path)
            writer.rewrite(file.path, (merging.merged(batch, image_ids) for batch in batches))
        else:
            num_shared += writer.share(dataset.store, file)
    return num_shared


def _totals(
    listed: Sequence[Correction],
    new: Sequence[Correction],
    gone: Sequence[Correction],
    merging: "_Merging",
    of_tracks: Mapping[str, int],
) -> dict[str, int]:
    """How many corrections were given, are new, took effect by action and are withdrawn."""
    num_listed = sum(correction.action is not CorrectionAction.WITHDRAWN for correction in listed)
    effects = Counter(merging.effects)
    effects.update(of_tracks)
    num_withdrawn = _num_unsaid(gone, new)
    return {
        "corrections": num_listed,
        "new": len(new),
        "images": merging.num_changed,
        **{name: effects[name] for name in sorted(effects)},
        **({"withdrawn": num_withdrawn} if num_withdrawn else {}),
    }


class _Merging:
    """Corrects rows, keeps their originals in `history` and counts the `new` corrections.

    `old_counts`, `new_counts`: of the rows that corrections are of, before and after. `num_changed`: how many
    of them have changed. `begun_again`: images with corrections that count no more; their rows are made from
    the originals alone.
    """

    def __init__(
        self,
        before: CorrectionHistory,
        history: CorrectionHistory,
        new: Iterable[Correction],
        begun_again: Collection[str],
        tracks: TrackMerging,
    ) -> None:
        self._originals = before.originals
        self._earlier, self._all = before.by_image(), history.by_image()
        self._history, self._new = history, {correction.correction_id for correction in new}
        self._begun_again, self._tracks = begun_again, tracks
        self._effects: Counter[str] = Counter()
        self.image_ids: set[str] = set()
        self.old_counts, self.new_counts, self.num_changed = Counts(), Counts(), 0

    @property
    def effects(self) -> dict[str, int]:
        """How many new corrections of each action took effect, and how many were left out."""
        return {name: self._effects[name] for name in sorted(self._effects)}

    def merged(self, batch: pa.RecordBatch, image_ids: pa.StringArray) -> pa.RecordBatch:
        """The batch with the rows of these images corrected; the others stay columns."""
        places = places_of(batch, image_ids)
        rows = list(table_to_rows(batch.take(numpy_to_array(places))))
        corrected = [self._corrected(row) for row in rows]
        self.old_counts += count_rows(rows)
        self.new_counts += count_rows(corrected)
        self.num_changed += sum(new_row != row for new_row, row in zip(corrected, rows, strict=True))
        return replace_rows(batch, dict(zip(places.tolist(), corrected, strict=True)))

    def _corrected(self, row: ImageRow) -> ImageRow:
        """The corrected row, its pixels, addresses and split as they are now."""
        first, base, since = self._base_rows(row)
        self.image_ids.add(row.image_id)
        if row.image_id in self._all or self._tracks.after.speaks_of(row.image_id):
            self._history.keep_original(first)
        else:
            self._history.originals.pop(row.image_id, None)
        said, of_tracks = self._all.get(row.image_id, []), self._tracks.after
        applied = apply_with_tracks(base, said, of_tracks.of(row.image_id), of_tracks.names, since)
        self._tracks.see(first, applied.row)
        self._effects.update(
            correction.action.value for correction in applied.done if correction.correction_id in self._new
        )
        self._effects["left_out"] += sum(
            correction.correction_id in self._new for correction in applied.left_out
        )
        return applied.row

    def _base_rows(self, row: ImageRow) -> tuple[ImageRow, ImageRow, Container[str] | None]:
        """The row before any correction, the row that corrections are applied to, and ids of those applied.

        The rows are the same and all are applied, unless the row was labelled again since: then new ones are
        applied to that row, which holds the earlier ones, so all of these must still count.
        """
        first = self._originals.get(row.image_id)
        if first is None:
            return row, row, None
        now = {"image": row.image, "uri": row.uri, "uris": row.uris, "split": row.split}
        first = first.model_copy(update=now)
        earlier, of_tracks = self._earlier.get(row.image_id, []), self._tracks.before
        routed = routed_like(first, row, [*earlier, *said_of_regions(first, of_tracks.of(row.image_id))])
        for base in (first, routed):
            applied = apply_with_tracks(base, earlier, of_tracks.of(row.image_id), of_tracks.names)
            # Earlier releases left `meta` as it was where regions came and went.
            if not {*differing_columns(applied.row, row)} - {"meta"}:
                return base, base, None
        if row.image_id in self._begun_again:
            return first, routed, None
        return first, row, self._new


def _has_video(dataset: Dataset, ids: Collection[str]) -> bool:
    """Whether one of these is the id of a video."""
    batches = dataset.batches_of(VIDEOS, ["video_id"])
    return any(video_id in ids for batch in batches for video_id in batch["video_id"].to_pylist())


def _minus(history: CorrectionHistory, other: CorrectionHistory) -> list[Correction]:
    """The effective corrections of a history that another one does not hold."""
    others = other.effective()
    return [correction for name, correction in history.effective().items() if name not in others]


def _num_unsaid(gone: Iterable[Correction], new: Iterable[Correction]) -> int:
    """How many corrections are gone that no new one says again, such as an annotation submitted again."""
    return sum((Counter(map(_statement, gone)) - Counter(map(_statement, new))).values())


def _statement(correction: Correction) -> str:
    """What a correction says, whoever said it and whenever."""
    about = {"image_id", "action", "region_id", "kind", "subject", "right", "after"}
    return correction.model_dump_json(include=about)


def _digest(corrections: Sequence[Correction]) -> str:
    names = sorted(correction.correction_id for correction in corrections)
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()
