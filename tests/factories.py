"""Small made-up images, rows and datasets for tests; every argument has a default."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fo1_data.dataset.writer import open_run
from schemas.corpus import CorpusImage, Shard
from schemas.dataset import Manifest, ModelInfo
from schemas.images import (
    Answer,
    Count,
    EncodedImage,
    Grounding,
    ImageRow,
    Provenance,
    Reject,
    RejectStage,
)
from schemas.labels import Decision, Label, LabelKind, Source, strictest
from schemas.regions import Box, Region, make_region_id, number_equal_ids

COLOURS = ("red", "green", "blue", "orange", "purple", "teal")
SHAPES = ("square", "circle", "triangle", "bar")


def make_image(seed: int = 0, width: int = 64, height: int = 48, boxes: Sequence[Box] = ()) -> Image.Image:
    """An RGB image of soft noise made from `seed`, with `boxes` (pixels) filled in bright colours."""
    noise = np.random.default_rng(seed).integers(90, 140, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        image.paste(COLOURS[index % len(COLOURS)], (round(x0), round(y0), round(x1), round(y1)))
    return image


def encode(image: Image.Image, form: str = "PNG") -> bytes:
    """The image's encoded bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format=form)
    return buffer.getvalue()


def make_boxes(count: int, width: int = 64, height: int = 48, seed: int = 0) -> list[Box]:
    """`count` boxes in whole pixels inside a `width` x `height` image, sides of at least 4 px."""
    draw = np.random.default_rng(seed)
    boxes: list[Box] = []
    for _ in range(count):
        x0, y0 = int(draw.integers(0, width - 4)), int(draw.integers(0, height - 4))
        x1, y1 = int(draw.integers(x0 + 4, width + 1)), int(draw.integers(y0 + 4, height + 1))
        boxes.append((float(x0), float(y0), float(x1), float(y1)))
    return boxes


def make_label(
    kind: LabelKind = LabelKind.BRIEF_CAPTION,
    text: str = "red square",
    decision: Decision | None = None,
    confidence: float | None = None,
    **more: Any,
) -> Label:
    return Label(kind=kind, text=text, decision=decision, confidence=confidence, **more)


def make_region(
    image_id: str, index: int, box: Box, caption: str | None = None, decision: Decision | None = None
) -> Region:
    """A proposed region with one brief caption."""
    text = caption or f"{COLOURS[index % len(COLOURS)]} {SHAPES[index % len(SHAPES)]}"
    return Region(
        region_id=make_region_id(image_id, box),
        index=index,
        box_xyxy=box,
        objectness=0.5,
        box_source=Source.MODEL,
        brief_caption=text,
        decision=decision,
        labels=[make_label(text=text, decision=decision, confidence=_confidence_of(decision))],
    )


def _confidence_of(decision: Decision | None) -> float | None:
    """Routing accepts only labels that a calibration gave a confidence."""
    return 0.9 if decision in (Decision.ACCEPT, Decision.AUDIT) else None


def make_row(
    seed: int = 0,
    num_regions: int = 2,
    width: int = 64,
    height: int = 48,
    uri: str | None = None,
    embed: bool = False,
    folder: Path | None = None,
    decisions: Sequence[Decision | None] = (),
    boxes: Sequence[Box] | None = None,
    **fields: Any,
) -> ImageRow:
    """A labelled row whose image really exists as bytes (`embed`) or as a file in `folder`.

    `boxes`: of its regions, in place of `num_regions` random ones.
    Region i takes `decisions[i]`, None past its end; one grounding names region 0. `fields` replace columns.
    """
    boxes = make_boxes(num_regions, width, height, seed) if boxes is None else boxes
    data = encode(make_image(seed, width, height, boxes))
    image_id = hashlib.sha256(data).hexdigest()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{seed:05d}.png"
        path.write_bytes(data)
        uri = uri or str(path)
    uri = uri or f"memory://images/{seed:05d}.png"
    region_decisions = [decisions[i] if i < len(decisions) else None for i in range(len(boxes))]
    regions = [make_region(image_id, i, box, decision=region_decisions[i]) for i, box in enumerate(boxes)]
    for region, region_id in zip(
        regions, number_equal_ids(region.region_id for region in regions), strict=True
    ):
        region.region_id = region_id
    row = ImageRow(
        image_id=image_id,
        uri=uri,
        uris=[uri],
        corpus="made-up",
        split="train",
        source_id=f"image-{seed}",
        meta='{"made": "up"}',
        image=EncodedImage(bytes=data if embed else None, path=uri),
        width=width,
        height=height,
        regions=regions,
        groundings=[make_grounding(regions)] if regions else [],
        provenance=Provenance(model="fo1-tiny", licence="Apache-2.0", labelled_at="2026-01-01T00:00:00Z"),
    )
    row.decision = strictest(label.decision for label in row.all_labels())
    return row.model_copy(update=fields)


def make_grounding(regions: Sequence[Region], phrase: str = "a red square") -> Grounding:
    """The phrase names the first region."""
    label = make_label(kind=LabelKind.GROUND, text=f"{phrase}<region0>")
    return Grounding(phrase=phrase, kind=LabelKind.GROUND, region_ids=[regions[0].region_id], label=label)


def make_count(regions: Sequence[Region], phrase: str = "shape") -> Count:
    """All regions are counted."""
    label = make_label(kind=LabelKind.COUNT, text=str(len(regions)))
    ids = [region.region_id for region in regions]
    return Count(phrase=phrase, count=len(ids), region_ids=ids, label=label)


def make_answer(region_id: str | None = None) -> Answer:
    label = make_label(kind=LabelKind.ASK, text="blue")
    return Answer(question="What colour?", region_id=region_id, answer="blue", reasoning=None, label=label)


def make_reject(uri: str = "memory://broken.png", **fields: Any) -> Reject:
    """A decode reject whose corpus entry is kept for a replay."""
    values: dict[str, Any] = {
        "uri": uri,
        "stage": RejectStage.DECODE,
        "reason": "truncated",
        "message": "the file ends early",
        "replayable": False,
        "source": CorpusImage(uri=uri).model_dump_json(),
    }
    return Reject(**{**values, **fields})


def make_shard(index: int = 0, uris: Sequence[str] = ("memory://images/00000.png",)) -> Shard:
    """A shard whose id is made from its index and list."""
    digest = hashlib.sha256("\n".join(uris).encode()).hexdigest()[:12]
    return Shard(shard_id=f"{index:05d}-{digest}", index=index, images=[CorpusImage(uri=uri) for uri in uris])


def make_dataset(
    out: Path, rows: Sequence[ImageRow] | None = None, rejects: Sequence[Reject] = (), rows_a_shard: int = 3
) -> Manifest:
    """A finished dataset of `rows` (default: six, their images in files beside `out`)."""
    if rows is None:
        rows = [make_row(seed, folder=out.parent / "images") for seed in range(6)]
    run = open_run(str(out), {"model_sha256": "ab" * 32, "rows": len(rows)}, {"corpus": "made-up"})
    for index, start in enumerate(range(0, max(len(rows), 1), rows_a_shard)):
        of_shard = rows[start : start + rows_a_shard]
        run.write_shard(make_shard(index), of_shard, rejects if index == 0 else [], f"try-{index}")
    model = ModelInfo(name="fo1-tiny", sha256="ab" * 32, licence="Apache-2.0")
    return run.seal("made-up", model, "fo1-tiny")
