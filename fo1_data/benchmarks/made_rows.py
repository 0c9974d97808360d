"""Made-up rows, datasets, gold and corrections of any size, without a model, for `fo1 bench size`."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from fo1_data.dataset.writer import open_run
from schemas.corpus import CorpusImage, CorpusRegion, Shard
from schemas.corrections import Correction, CorrectionAction, CorrectionValue
from schemas.images import EncodedImage, Grounding, ImageRow
from schemas.labels import Decision, Label, LabelKind, Signal, Source
from schemas.regions import Region, make_region_id
from schemas.shards import FileLimits

_NUM_REGIONS = 3
_WIDTH_HEIGHT = (640, 480)
_AT = "2026-01-01T00:00:00Z"
_WORDS = ("red", "green", "blue", "small", "large", "round", "square", "cup", "car", "dog", "tree", "sign")


def make_row(number: int, pixels: bytes | None = None) -> ImageRow:
    """A row of three regions with a caption and signals each, and a grounded phrase; always the same.

    With pixels it is a row of a training set: its captions are accepted, its phrase is not.
    """
    decision = None if pixels is None else Decision.ACCEPT
    image_id = hashlib.sha256(str(number).encode()).hexdigest()
    draw = np.random.default_rng(number)
    uri = f"s3://bucket/images/{number:09d}.jpg"
    regions = []
    for index in range(_NUM_REGIONS):
        x, y = (int(side) for side in draw.integers(0, 300, 2))
        box = (float(x), float(y), float(x + 40 + 20 * index), float(y + 60))
        caption = " ".join(draw.choice(_WORDS, 3))
        signals = [Signal(name=name, value=-0.1) for name in ("logprob_mean", "logprob_min", "margin_min")]
        regions.append(
            Region(
                region_id=make_region_id(image_id, box),
                index=index,
                box_xyxy=box,
                objectness=0.5,
                box_source=Source.MODEL,
                brief_caption=caption,
                labels=[
                    Label(
                        kind=LabelKind.BRIEF_CAPTION,
                        text=caption,
                        confidence=0.8,
                        signals=signals,
                        decision=decision,
                    )
                ],
            )
        )
    phrase = regions[0].brief_caption or ""
    label = Label(kind=LabelKind.GROUND, text=f"{phrase}<region0>", confidence=0.7)
    grounding = Grounding(
        phrase=phrase, kind=LabelKind.GROUND, region_ids=[regions[0].region_id], label=label
    )
    return ImageRow(
        image_id=image_id,
        uri=uri,
        uris=[uri],
        corpus="made-up",
        split="train",
        image=EncodedImage(bytes=pixels, path=uri),
        width=_WIDTH_HEIGHT[0],
        height=_WIDTH_HEIGHT[1],
        regions=regions,
        groundings=[grounding],
    )


def make_pixels() -> bytes:
    """A small JPEG for rows with embedded pixels."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(
        buffer, "JPEG"
    )
    return buffer.getvalue()


def write_shards(out: Path, num_rows: int, rows_a_shard: int, pixels: bytes | None = None) -> None:
    """Write rows as shards of a run that is not sealed."""
    run = open_run(str(out), {"made": num_rows}, {"corpus": "made-up"})
    for index, start in enumerate(range(0, num_rows, rows_a_shard)):
        rows = [make_row(number, pixels) for number in range(start, min(start + rows_a_shard, num_rows))]
        images = [CorpusImage(uri=row.uri) for row in rows]
        run.write_shard(Shard(shard_id=f"{index:08d}", index=index, images=images), rows, [], "once")


def gather(out: Path, num_rows: int, rows_a_shard: int, limits: FileLimits) -> None:
    """Gather the files of the shards of `write_shards`."""
    run = open_run(str(out), {"made": num_rows}, {"corpus": "made-up"})
    plan, _ = run.plan_groups(-(-num_rows // rows_a_shard), limits)
    for group in plan.take_ready():
        run.gather(group, "once")


def seal(out: Path, num_rows: int) -> None:
    """Make the dataset of the shards of `write_shards`."""
    open_run(str(out), {"made": num_rows}, {"corpus": "made-up"}).seal("made-up")


def make_gold(num_rows: int) -> list[CorpusImage]:
    """Gold of the rows that agrees with all captions."""
    return [
        CorpusImage(
            uri=row.uri,
            width=row.width,
            height=row.height,
            regions=[
                CorpusRegion(box_xyxy=region.box_xyxy, caption=region.brief_caption) for region in row.regions
            ],
        )
        for row in map(make_row, range(num_rows))
    ]


def write_gold(num_rows: int, folder: Path) -> str:
    """Gold as a file: it agrees with the captions of all regions but the second of each image."""
    lines = []
    for number in range(num_rows):
        row = make_row(number)
        regions = [
            {"box_xyxy": region.box_xyxy, "caption": region.brief_caption if region.index != 1 else "another"}
            for region in row.regions
        ]
        line = {"image": row.uri, "width": row.width, "height": row.height, "regions": regions}
        lines.append(json.dumps(line) + "\n")
    path = folder / "annotations.jsonl"
    path.write_text("".join(lines))
    return str(path)


def make_corrections(num_rows: int, rows_a_file: int) -> Iterator[Correction]:
    """A caption corrected in the first row of every file."""
    for number in range(0, num_rows, rows_a_file):
        row = make_row(number)
        yield Correction(
            image_id=row.image_id,
            action=CorrectionAction.RECAPTIONED,
            region_id=row.regions[0].region_id,
            kind=LabelKind.BRIEF_CAPTION,
            before=CorrectionValue(text=row.regions[0].brief_caption),
            after=CorrectionValue(text="a corrected caption"),
            annotator="made-up",
            at=_AT,
        )
