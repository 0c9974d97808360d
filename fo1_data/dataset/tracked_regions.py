"""The regions of rows that name a track, and the boxes of tracks in those rows: they are of the same thing.

Memory: for each of them a key of 90 bytes and its box.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import array_to_numpy, numpy_to_array, to_array, to_scalar
from fo1_data.dataset.items import Items

# Boxes of one thing in a row and in its track may differ by rounding and by clipping at the border.
BOX_PX = 0.1
_SPACE, _NOWHERE = to_scalar(" ", pa.string()), to_scalar(-1, pa.int32())


class KeyedBoxes:
    """Boxes by image and track."""

    def __init__(self) -> None:
        self._keys: list[pa.Array] = []
        self._boxes: list[npt.NDArray[np.float32]] = []

    def add(self, image_ids: pa.Array, track_ids: pa.Array, boxes_xyxy: npt.NDArray[np.float32]) -> None:
        """Add N boxes (N, 4)."""
        if len(image_ids):
            self._keys.append(pc.binary_join_element_wise(image_ids, track_ids, _SPACE))
            self._boxes.append(boxes_xyxy)

    def see(self, batch: pa.RecordBatch) -> None:
        """Add the regions of a batch of rows that name a track."""
        regions = Items.of(batch.select(["image_id", "regions"]))["regions"].each
        if "track_id" not in regions or regions["track_id"].values.null_count == len(regions):
            return
        named = regions.where(regions["track_id"].values.is_valid())
        named = named.where(named["box_xyxy"].values.is_valid())
        image_ids = batch["image_id"].take(numpy_to_array(named.rows))
        self.add(image_ids, named["track_id"].values, boxes_of(named["box_xyxy"].values))

    def keys(self) -> pa.Array:
        """`IMAGE TRACK` of each box."""
        return pa.concat_arrays(self._keys) if self._keys else to_array([], pa.string())

    def boxes(self) -> npt.NDArray[np.float32]:
        """The boxes (N, 4)."""
        return np.concatenate([np.zeros((0, 4), np.float32), *self._boxes])


def boxes_of(boxes: pa.Array) -> npt.NDArray[np.float32]:
    """Boxes, none of them null, as (N, 4)."""
    return np.asarray(array_to_numpy(boxes.flatten()).reshape(-1, 4), np.float32)


def region_problems(regions: KeyedBoxes, keyframes: KeyedBoxes, track_ids: pa.Array) -> Iterator[str]:
    """The problems of regions: tracks that are not there, several boxes of one track, and other boxes.

    `keyframes`: the boxes that tracks have in these images, clipped to them.
    """
    keys, boxes = regions.keys(), regions.boxes()
    named = pc.struct_field(pc.extract_regex(keys, r"^[^ ]* (?P<track>.*)$"), "track")
    for place in np.flatnonzero(~array_to_numpy(pc.is_in(named, value_set=track_ids))).tolist():
        image_id, _, track_id = keys[place].as_py().partition(" ")
        yield f"image {image_id[:16]}: a region names track {track_id!r}, which is not there"
    for entry in pc.value_counts(keys).to_pylist():
        if entry["counts"] > 1:
            image_id, _, track_id = entry["values"].partition(" ")
            yield f"image {image_id[:16]}: {entry['counts']} regions are of track {track_id!r}"
    found = pc.fill_null(pc.index_in(keyframes.keys(), value_set=keys), _NOWHERE)
    places = array_to_numpy(found).astype(np.int64)
    both = np.flatnonzero(places >= 0)
    apart = np.abs(keyframes.boxes()[both] - boxes[places[both]]).max(axis=1, initial=0)
    # Two keyframes with equal pixels are one row: it has the box of one of them.
    least = np.full(len(keys), np.inf)
    np.fmin.at(least, places[both], apart)
    for place in both[~(apart <= BOX_PX) & ~(least[places[both]] <= BOX_PX)].tolist():
        image_id, _, track_id = keys[int(places[place])].as_py().partition(" ")
        texts = [np.round(side, 2).tolist() for side in (boxes[places[place]], keyframes.boxes()[place])]
        yield f"image {image_id[:16]}: the box of track {track_id!r} is {texts[0]}, in the track {texts[1]}"
