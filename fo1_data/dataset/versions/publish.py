"""The self-contained training set: every row with the bytes of its image.

A published dataset is a dataset like any other; training on it needs no other storage. The bytes are
those that were labelled, checked by hash; an image that cannot be read any more is an error, it is not
left out. `accepted` keeps accepted labels and labels of people. Unreviewed labels (routed without a
calibration behind them, see `Label.is_unreviewed`) are published only if `include_unreviewed` asks for them.
An image's caption is kept if a person wrote or confirmed it, if it came with the corpus and no model was
asked for one, or if every phrase grounded in a model's caption is kept. Boxes always stay, because answers
name them by their place in the list. Videos and tracks are published too: see `published_tracks`.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.arrow_columns import numpy_to_array, to_array, with_members
from fo1_data.dataset.columns_to_rows import columns_to_rows
from fo1_data.dataset.human_labels import is_stale
from fo1_data.dataset.label_columns import LabelColumns
from fo1_data.dataset.pixels import with_bytes
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_batches import regular_batches, replace_rows
from fo1_data.dataset.versions.accepted_columns import accepted_rows
from fo1_data.dataset.versions.derive import VersionWriter
from fo1_data.dataset.versions.published_tracks import PublishedTracks
from schemas.dataset import Manifest
from schemas.images import ImageRow
from schemas.labels import Label, LabelKind, strictest
from schemas.regions import TEXT_COLUMNS, Region

LabelFilter = Callable[[Label], bool]
# So few that their pixels fit into memory.
_ROWS_AT_ONCE = 256
# What the bytes of an image are found by.
_ADDRESS_COLUMNS = ["image_id", "uri", "uris", "image"]


class Published(NamedTuple):
    """The manifest of a published dataset, and how many unreviewed labels were left out."""

    manifest: Manifest
    unreviewed_left_out: int


def publish(
    address: str,
    out: str,
    *,
    only_accepted: bool = False,
    include_unreviewed: bool = False,
    limits: InputLimits | None = None,
) -> Published:
    """Write the training set of the dataset at `address` into `out`.

    Raises DatasetError if an image cannot be read or has changed, and if `out` is not empty.
    """
    dataset = open_dataset(address)
    step: dict[str, str | bool] = {"publish": "accepted" if only_accepted else "all"}
    if include_unreviewed:
        step["include_unreviewed"] = True
    keeps = label_filter(only_accepted, include_unreviewed)
    writer = VersionWriter(out, dataset.manifest, step, dataset.store.url)
    tracks = PublishedTracks(dataset, keeps, only_labelled=only_accepted)
    published: set[str] = set()
    num_left_out = 0
    model_captions = LabelKind.GROUNDED_CAPTION in (dataset.manifest.config.get("labels") or ())

    def kept_batches() -> Iterator[pa.RecordBatch]:
        nonlocal num_left_out
        for file in dataset.data_files():
            for batch in regular_batches(dataset.store, file.path, _ROWS_AT_ONCE):
                labels = LabelColumns(batch, corpus_too=True)
                dropped = labels.is_unreviewed & (not include_unreviewed)
                num_left_out += int(dropped.sum())
                if not only_accepted:
                    places = np.unique(labels.rows[dropped])
                    rows = columns_to_rows(batch.take(numpy_to_array(places)))
                    kept_rows = [kept_part(row, keeps) for row in rows]
                    yield replace_rows(batch, dict(zip(places.tolist(), kept_rows, strict=True)))
                    continue
                if (kept := accepted_rows(batch, model_captions, include_unreviewed)).num_rows:
                    yield tracks.batch(kept)

    for batch in _with_pixels(kept_batches(), limits or InputLimits()):
        published.update(batch["image_id"].to_pylist())
        writer.add_batch(batch)
    tracks.write(writer, published)
    manifest = writer.seal(
        dataset.manifest.version, history=dataset.history().only((published | tracks.video_ids).__contains__)
    )
    return Published(manifest, num_left_out)


def _with_pixels(batches: Iterator[pa.RecordBatch], limits: InputLimits) -> Iterator[pa.RecordBatch]:
    """The batches, each with rows, with the bytes of their images, which are fetched ahead across batches."""
    waiting: deque[pa.RecordBatch] = deque()

    def rows() -> Iterator[ImageRow]:
        for batch in batches:
            waiting.append(batch)
            yield from columns_to_rows(batch.select(_ADDRESS_COLUMNS))

    fetched: list[bytes] = []
    for _, data in with_bytes(rows(), limits):
        fetched.append(data)
        if len(fetched) == waiting[0].num_rows:
            batch = waiting.popleft()
            image = with_members(batch["image"], {"bytes": to_array(fetched, pa.binary())})
            yield batch.set_column(batch.schema.get_field_index("image"), batch.schema.field("image"), image)
            fetched = []


def label_filter(only_accepted: bool, include_unreviewed: bool) -> LabelFilter:
    """Whether a label is published."""

    def keeps(label: Label) -> bool:
        if label.is_unreviewed:
            return include_unreviewed
        return label.is_accepted if only_accepted else True

    return keeps


def without_stale(row: ImageRow) -> ImageRow:
    """The row without the labels whose boxes were changed since they were given."""
    if not any(is_stale(label) for label in row.all_labels()):
        return row
    return kept_part(row, lambda label: not is_stale(label)).model_copy(update={"caption": row.caption})


def kept_part(row: ImageRow, keeps: LabelFilter) -> ImageRow:
    """The row with the labels that `keeps` keeps."""
    kept = row.model_copy(
        update={
            "regions": [_kept_region(region, keeps) for region in row.regions],
            "groundings": [part for part in row.groundings if keeps(part.label)],
            "counts": [part for part in row.counts if keeps(part.label)],
            "answers": [part for part in row.answers if keeps(part.label)],
            "caption": row.caption if _keeps_caption(row, keeps) else None,
        }
    )
    return kept.model_copy(update={"decision": strictest(label.decision for label in kept.all_labels())})


def _keeps_caption(row: ImageRow, keeps: LabelFilter) -> bool:
    if row.caption_label is not None:
        return True
    grounded = [part.label for part in row.groundings if part.kind is LabelKind.GROUNDED_CAPTION]
    return all(map(keeps, grounded))


def _kept_region(region: Region, keeps: LabelFilter) -> Region:
    labels = [label for label in region.labels if keeps(label)]
    kinds = {label.kind for label in labels}
    dropped = {TEXT_COLUMNS[kind]: None for kind in TEXT_COLUMNS if kind not in kinds}
    decision = strictest(label.decision for label in labels)
    return region.model_copy(update={"labels": labels, "decision": decision, **dropped})
