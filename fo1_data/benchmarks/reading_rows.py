"""A published dataset for `fo1 bench reader`: generated scenes labelled with their gold, without a model."""

import io
from pathlib import Path

from fo1_data.corpus.images import image_id_of
from fo1_data.dataset.writer import open_run
from fo1_data.synthetic.gold import gold_of
from fo1_data.synthetic.scenes import make_scene
from schemas.corpus import CorpusImage, Shard
from schemas.images import EncodedImage, ImageRow
from schemas.labels import Label, LabelKind, Source
from schemas.regions import Region, make_region_id

_NUM_SHARDS = 8


def write_scene_dataset(out: Path, count: int, seed: int) -> None:
    """Write `count` scenes with embedded pixels as a finished dataset of eight files, all in `train`."""
    run = open_run(str(out), {"scenes": count, "seed": seed}, {"corpus": "scenes"})
    size = -(-count // _NUM_SHARDS)
    for index, start in enumerate(range(seed, seed + count, size)):
        rows = [_row(number) for number in range(start, min(start + size, seed + count))]
        images = [CorpusImage(uri=row.uri) for row in rows]
        run.write_shard(Shard(shard_id=f"{index:05d}", index=index, images=images), rows, [], "once")
    run.seal("scenes")


def _row(number: int) -> ImageRow:
    scene = make_scene(number)
    buffer = io.BytesIO()
    scene.image.save(buffer, format="PNG")
    image_id = image_id_of(buffer.getvalue())
    uri = f"scene-{number:08d}.png"
    gold = gold_of(scene, uri)
    regions = [
        Region(
            region_id=make_region_id(image_id, region.box_xyxy),
            index=index,
            box_xyxy=region.box_xyxy,
            box_source=Source.CORPUS,
            source_label=region.label,
            brief_caption=region.caption,
            labels=[Label(kind=LabelKind.BRIEF_CAPTION, text=region.caption or "")],
        )
        for index, region in enumerate(gold.regions or [])
    ]
    return ImageRow(
        image_id=image_id,
        uri=uri,
        uris=[uri],
        corpus="scenes",
        split="train",
        image=EncodedImage(bytes=buffer.getvalue(), path=uri),
        width=scene.image.width,
        height=scene.image.height,
        regions=regions,
    )
