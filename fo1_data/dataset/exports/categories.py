"""The classes of each region, for formats in which a box has a class.

In this order: every phrase of a detection that names the region, else the corpus' own label, else
`object`. A region can have several classes; a brief caption is not a class, nor is a detector's name of its
box.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import numpy_to_array, to_scalar
from fo1_data.dataset.items import Items
from fo1_data.dataset.light_rows import light_batches
from fo1_data.dataset.reader import Dataset
from schemas.images import ImageRow
from schemas.labels import LabelKind, Source

CLASS_AGNOSTIC = "object"
_DETECT = to_scalar(LabelKind.DETECT.value, pa.string())

# What classes are made of, by the columns' paths in Parquet.
_COLUMNS = ("regions.list.element.region_id", "regions.list.element.source_label",
            "regions.list.element.box_source",
            "groundings.list.element.phrase", "groundings.list.element.kind",
            "groundings.list.element.region_ids.list.element",
            "groundings.list.element.label.box_moved")  # fmt: skip


def region_classes(row: ImageRow) -> dict[str, list[str]]:
    """The classes of each region of a row, by region id; at least one each."""
    classes: dict[str, list[str]] = {region.region_id: [] for region in row.regions}
    for grounding in row.groundings:
        if grounding.kind is LabelKind.DETECT:
            for region_id in grounding.region_ids:
                if grounding.phrase not in classes.setdefault(region_id, []):
                    classes[region_id].append(grounding.phrase)
    for region in row.regions:
        if not classes[region.region_id]:
            classes[region.region_id] = [region.corpus_label or CLASS_AGNOSTIC]
    return classes


def class_names(dataset: Dataset) -> list[str]:
    """Every class that occurs outside of stale labels, sorted. Reads only the columns of classes."""
    names: set[str] = set()
    for file in dataset.data_files():
        for batch in light_batches(dataset.store, file.path, _COLUMNS.__contains__):
            names.update(_classes_in(batch))
    return sorted(names)


def _classes_in(batch: pa.RecordBatch) -> Iterator[str]:
    row = Items.of(batch)
    groundings = row["groundings"].each
    is_stale = groundings["label"]["box_moved"].values
    is_detection = pc.equal(groundings["kind"].values, _DETECT)
    detections = groundings.where(pc.and_(is_detection, pc.invert(is_stale)))
    named = detections["region_ids"]
    yield from detections["phrase"].values.take(numpy_to_array(np.unique(named.owners))).to_pylist()
    has_class = set(zip(named.each.rows.tolist(), named.each.values.to_pylist(), strict=True))
    regions = row["regions"].each
    ids = zip(regions.rows.tolist(), regions["region_id"].values.to_pylist(), strict=True)
    sources = regions["box_source"].values.to_pylist()
    labels = regions["source_label"].values.to_pylist()
    for region, source, label in zip(ids, sources, labels, strict=True):
        if region not in has_class:
            yield (label if source != Source.MODEL else None) or CLASS_AGNOSTIC
