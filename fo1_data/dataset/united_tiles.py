"""The rows of an image's tiles as the one row of the image, in Arrow: 100,000 regions are no Python objects.

Regions are united by `fo1_data.corpus.tile_twins`. A phrase that tiles were asked about names the regions of
all tiles; its label is the most doubtful that a tile with regions gave. A count is the number of the regions
that it names and that their captions do not contradict (`counted_regions`), so that what two tiles show
counts once. All that is of the image itself, its caption above all, comes from the row of the whole image.
Rows are of `IMAGE_SCHEMA`.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.boxes import Boxes
from fo1_data.corpus.region_meta import region_metas, with_region_metas
from fo1_data.corpus.tile_grid import TileGrid
from fo1_data.corpus.tile_names import image_of_tile, tile_name
from fo1_data.corpus.tile_twins import WHOLE, UnitedBoxes, unite_boxes
from fo1_data.dataset.arrow_columns import array_to_numpy, numpy_to_array, to_array
from fo1_data.dataset.counted_regions import CaptionCheck
from fo1_data.dataset.items import Items
from fo1_data.dataset.united_phrases import UnitedPhrases
from schemas.corpus import CorpusImage
from schemas.labels import Decision, LabelKind, Source, strictest
from schemas.parquet import ANSWER, BOX, COUNT, GROUNDING, IMAGE_SCHEMA, REGION
from schemas.regions import make_region_id, number_equal_ids

# The key of `meta` of a tile's row of which nothing was asked, and why; and that of the row of an image.
TILE_STATE = "tile_state"
TILES_KEY = "tiles"
EMPTY, CARRIED = "empty", "carried"

_CAPTIONS = ("brief_caption", "detailed_caption")
_UNITED_KINDS = (LabelKind.DETECT, LabelKind.GROUND)


def unite_tiles(rows: pa.RecordBatch, entries: Sequence[CorpusImage]) -> pa.RecordBatch:
    """One row, of the rows of all tiles of an image. entries: the tiles, in the order of their rows; the last
    is the whole image."""
    return _Tiles(rows, entries).row()


class _Tiles:
    """The rows of the tiles of one image."""

    def __init__(self, rows: pa.RecordBatch, entries: Sequence[CorpusImage]) -> None:
        self._rows = rows
        self._names = [tile_name(entry) for entry in entries]
        self._image = image_of_tile(entries[-1])
        self._items = Items.of(rows)
        whole = self._names[-1]
        assert whole is not None
        last = rows.num_rows - 1
        image_wh = (rows["width"][last].as_py(), rows["height"][last].as_py())
        self._grid = TileGrid(image_wh, whole.tile_px, whole.overlap_px)
        self._regions = self._items["regions"].each
        self._num_regions = np.bincount(self._regions.rows, minlength=rows.num_rows)
        # How many regions were named by a count's phrase and do not count, because captions contradict it.
        self._contradicted: dict[str, int] = {}

    def row(self) -> pa.RecordBatch:
        whole = self._rows.slice(self._rows.num_rows - 1)
        states = self._states()
        uris = self._uris()
        if CARRIED in states:
            return _with_columns(whole, self._addresses(whole, uris))
        columns = self._addresses(whole, uris)
        columns["regions"] = _one_list(self._new_regions(), REGION)
        columns["groundings"] = _one_list(self._groundings(), GROUNDING)
        columns["counts"] = _one_list(self._counts(), COUNT)
        columns["answers"] = _one_list(self._answers(), ANSWER)
        columns["meta"] = self._meta(whole, states.count(EMPTY))
        united = _with_columns(whole, columns)
        return _with_columns(united, {"decision": to_array([_decision(united)], pa.string())})

    def _states(self) -> list[str | None]:
        metas = self._rows["meta"].to_pylist()
        return [json.loads(meta).get(TILE_STATE) if meta and TILE_STATE in meta else None for meta in metas]

    def _uris(self) -> list[str]:
        """The addresses of the image: those of its tiles, without the tiles."""
        addresses = dict.fromkeys([self._image.name])
        for uri in self._items["uris"].each.values.to_pylist():
            addresses[_without_tile(uri)] = None
        return list(addresses)

    def _addresses(self, whole: pa.RecordBatch, uris: list[str]) -> dict[str, pa.Array]:
        image = whole["image"][0].as_py()
        return {
            "uri": to_array([self._image.name], pa.string()),
            "uris": to_array([uris], IMAGE_SCHEMA.field("uris").type),
            "image": to_array([{**image, "path": self._image.name}], IMAGE_SCHEMA.field("image").type),
        }

    def _meta(self, whole: pa.RecordBatch, num_empty: int) -> pa.Array:
        meta = json.loads(whole["meta"][0].as_py() or "{}")
        meta = with_region_metas(meta, self._region_metas()) or {}
        meta[TILES_KEY] = {
            "tile_px": self._grid.tile_px,
            "overlap_px": self._grid.overlap_px,
            "columns": self._grid.columns,
            "rows": self._grid.rows,
            "empty": num_empty,
        }
        if self._contradicted:
            meta[TILES_KEY]["contradicted"] = self._contradicted
        return to_array([json.dumps(meta, ensure_ascii=False, sort_keys=True)], pa.string())

    def _region_metas(self) -> list[dict[str, Any]]:
        """What the source says of each region of the image, from the rows of the tiles that it went to."""
        metas: list[dict[str, Any]] = []
        for text, count in zip(self._rows["meta"].to_pylist(), self._num_regions.tolist(), strict=True):
            metas += (region_metas(json.loads(text), count) if text else None) or [{}] * count
        return [metas[place] for place in self._united.kept.tolist()]

    @cached_property
    def _places(self) -> npt.NDArray[np.int64]:
        """(rows, 2) the tile of each row."""
        windows = [name.window_xyxy if name is not None else None for name in self._names]
        places = [self._grid.place_of(window) if window is not None else WHOLE for window in windows]
        return np.array([place if place is not None else WHOLE for place in places], np.int64).reshape(-1, 2)

    @cached_property
    def _boxes(self) -> Boxes:
        flat = self._regions["box_xyxy"].values.flatten()
        boxes: Boxes = array_to_numpy(flat).reshape(-1, 4)
        return boxes

    @cached_property
    def _united(self) -> UnitedBoxes:
        may_go = array_to_numpy(pc.equal(self._regions["box_source"].values, Source.MODEL.value))
        return unite_boxes(self._grid, self._boxes, self._places[self._regions.rows], may_go)

    @cached_property
    def _new_ids(self) -> dict[str, str]:
        """From the id of a region in a tile's row to its id in the image; regions that go have none."""
        united = self._united
        old = self._regions["region_id"].values.to_pylist()
        image_id = self._rows["image_id"][0].as_py()
        is_moved = (united.boxes_xyxy != self._boxes[united.kept]).any(axis=1)
        ids = [
            make_region_id(image_id, united.boxes_xyxy[place].tolist()) if moved else old[box]
            for place, (box, moved) in enumerate(zip(united.kept.tolist(), is_moved.tolist(), strict=True))
        ]
        numbered = number_equal_ids(_without_number(region_id) for region_id in ids)
        new_of = dict(zip(united.kept.tolist(), numbered, strict=True))
        ids_of = {old[box]: new for box, new in new_of.items()}
        survivors = enumerate(united.survivor.tolist())
        ids_of |= {old[box]: new_of[one] for box, one in survivors if box != one and one in new_of}
        self._numbered = numbered
        return ids_of

    def _new_regions(self) -> pa.Array:
        _ = self._new_ids
        kept = self._regions.at(self._united.kept)
        count = len(kept)
        boxes = pa.FixedSizeListArray.from_arrays(
            numpy_to_array(np.ascontiguousarray(self._united.boxes_xyxy.reshape(-1))), type=BOX
        )
        replaced = {
            "region_id": to_array(self._numbered, pa.string()),
            "index": numpy_to_array(np.arange(count, dtype=np.int32)),
            "box_xyxy": boxes,
        }
        columns = [
            replaced[field.name] if field.name in replaced else pc.struct_field(kept, field.name)
            for field in REGION
        ]
        return pa.StructArray.from_arrays(columns, fields=list(REGION))

    def _named(self, region_ids: Sequence[str]) -> list[str]:
        """The ids in the image of the regions that a tile named, each once."""
        return list(dict.fromkeys(self._new_ids[old] for old in region_ids if old in self._new_ids))

    def _groundings(self) -> pa.Array:
        parts = self._items["groundings"].each
        kinds = parts["kind"].values.to_pylist()
        united = UnitedPhrases(
            parts, self._num_regions, self._named, [kind in _UNITED_KINDS for kind in kinds]
        )
        records = united.records()
        records += [
            {**record, "region_ids": self._named(record["region_ids"])}
            for record in united.others()
            if self._renames_example(record)
        ]
        return to_array(records, GROUNDING)

    def _renames_example(self, record: dict[str, Any]) -> bool:
        """Give a visual example the new id of its region; False if the region went."""
        if record["kind"] != LabelKind.VISUAL_EXAMPLE:
            return True
        new = self._new_ids.get(record["phrase"])
        if new is not None:
            record["phrase"] = record["label"]["text"] = new
        return new is not None

    def _counts(self) -> pa.Array:
        united = UnitedPhrases(self._items["counts"].each, self._num_regions, self._named)
        namings = list(united.namings())
        check = CaptionCheck(self._captions() if namings else {}, namings)
        records = united.records()
        for record in records:
            named = record["region_ids"]
            record["region_ids"] = check.agreeing(named, record["phrase"])
            record["count"] = len(record["region_ids"])
            record["label"]["text"] = str(record["count"])
            if len(named) > record["count"]:
                self._contradicted[record["phrase"]] = len(named) - record["count"]
        return to_array(records, COUNT)

    def _captions(self) -> dict[str, str]:
        """All captions of each region, by the id in its tile and that in the image."""
        texts = [self._regions[name].values.to_pylist() for name in _CAPTIONS]
        captions: dict[str, str] = {}
        for old, *of_region in zip(self._regions["region_id"].values.to_pylist(), *texts, strict=True):
            said = [text for text in of_region if text is not None]
            if said:
                captions[old] = " ".join(said)
                captions.setdefault(self._new_ids.get(old, old), captions[old])
        return captions

    def _answers(self) -> pa.Array:
        records = self._items["answers"].each.values.to_pylist()
        kept = []
        for record in records:
            if record["region_id"] is not None:
                if record["region_id"] not in self._new_ids:
                    continue
                record["region_id"] = self._new_ids[record["region_id"]]
            kept.append(record)
        return to_array(kept, ANSWER)


def _without_tile(name: str) -> str:
    """The address of an image from that of its tile, as rows have it."""
    uri, _, _ = name.rpartition("::tile@")
    return uri or name


def _without_number(region_id: str) -> str:
    """The id of a box without the number that equal boxes of a tile have."""
    return "/".join(region_id.split("/")[:2])


def _one_list(values: pa.Array, item: pa.DataType) -> pa.Array:
    """A column of one row that holds all values."""
    offsets = pa.py_buffer(np.array([0, len(values)], np.int32))
    return pa.Array.from_buffers(pa.list_(item), 1, [None, offsets], 0, children=[values])


def _with_columns(row: pa.RecordBatch, columns: dict[str, pa.Array]) -> pa.RecordBatch:
    arrays = [columns.get(field.name, row[field.name]) for field in IMAGE_SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=IMAGE_SCHEMA)


def _decision(row: pa.RecordBatch) -> str | None:
    """The strictest decision of all labels of a row."""
    items = Items.of(row)
    found: set[str] = set()
    for labels in (
        items["regions"].each["labels"].each,
        *(items[name].each["label"] for name in ("groundings", "counts", "answers")),
    ):
        found |= set(pc.unique(labels["decision"].values).to_pylist())
    decision = strictest(Decision(value) for value in found if value is not None)
    return decision.value if decision is not None else None
