"""Counts of an image's tiles as those of the image: what captions contradict does not count, and is told."""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq

from fo1_data.corpus.tile_grid import TileGrid
from fo1_data.corpus.tile_names import TileName
from fo1_data.dataset.parquet_files import encode_rows
from fo1_data.dataset.united_tiles import unite_tiles
from schemas.corpus import CorpusImage
from schemas.images import Count, EncodedImage, ImageRow
from schemas.labels import Label, LabelKind, Signal, Source
from schemas.regions import Region, make_region_id

IMAGE_ID = "0" * 64
WH = (300, 100)
GRID = TileGrid(WH, 200, 100)


def _row(name: TileName, captions: dict[int, str], named: list[int], probability: float) -> ImageRow:
    """captions: of the regions, by their left side; named: the regions that the answer names."""
    entry = name.of(CorpusImage(uri="a.png"))
    boxes = {left: (float(left), 10.0, left + 8.0, 18.0) for left in captions}
    ids = {left: make_region_id(IMAGE_ID, box) for left, box in boxes.items()}
    signals = [Signal(name="logprob_min", value=math.log(probability))]
    label = Label(kind=LabelKind.COUNT, text=str(len(named)), signals=signals)
    return ImageRow(
        image_id=IMAGE_ID,
        uri=entry.name,
        uris=[entry.name],
        corpus="",
        split="train",
        image=EncodedImage(path=entry.name),
        width=WH[0],
        height=WH[1],
        regions=[
            Region(
                region_id=ids[left],
                index=index,
                box_xyxy=boxes[left],
                box_source=Source.MODEL,
                brief_caption=caption,
            )
            for index, (left, caption) in enumerate(captions.items())
        ],
        counts=[
            Count(
                phrase="red circle",
                count=len(named),
                region_ids=[ids[left] for left in named],
                label=label,
            )
        ],
    )


def test_what_a_caption_contradicts_does_not_count_and_is_told() -> None:
    names = [TileName(GRID.window(place), 200, 100) for place in GRID.places()] + [TileName(None, 200, 100)]
    reds = dict.fromkeys(range(10, 130, 12), "small red circle")
    others = {200: "small blue circle", 240: "small red circle"}
    rows = [
        _row(names[0], reds, list(reds), 0.95),
        _row(names[1], others, list(others), 0.6),
        _row(names[2], {}, [], 0.99),
    ]
    table = pq.read_table(pa.BufferReader(encode_rows(rows)))
    batch = pa.concat_batches(table.to_batches())
    united = unite_tiles(batch, [name.of(CorpusImage(uri="a.png")) for name in names]).to_pylist()[0]
    count = united["counts"][0]
    boxes = {region["region_id"]: region["box_xyxy"][0] for region in united["regions"]}
    assert len(united["regions"]) == len(reds) + len(others)
    assert sorted(boxes[one] for one in count["region_ids"]) == [*reds, 240]
    assert (count["count"], count["label"]["text"]) == (11, "11")
    assert json.loads(united["meta"])["tiles"]["contradicted"] == {"red circle": 1}
