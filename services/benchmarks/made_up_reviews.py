"""Generates rows for review, and a finished dataset of them. Their images need not exist."""

import hashlib
import random
from pathlib import Path

from fo1_data.dataset.writer import open_run
from schemas.corpus import CorpusImage, Shard
from schemas.dataset import ModelInfo
from schemas.images import EncodedImage, ImageRow
from schemas.labels import Decision, Label, LabelKind, Source
from schemas.regions import Region, make_region_id

NUM_REGIONS = 10
ROWS_PER_SHARD = 500


def make_rows(count: int, seed: int) -> list[ImageRow]:
    """Return rows for review with NUM_REGIONS regions each. Their images need not exist."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        image_id = hashlib.sha256(f"{seed} {number}".encode()).hexdigest()
        regions = [_region(image_id, index, rng) for index in range(NUM_REGIONS)]
        uri = f"memory://{image_id}.jpg"
        rows.append(
            ImageRow(
                image_id=image_id,
                uri=uri,
                uris=[uri],
                corpus="made-up",
                split="train",
                image=EncodedImage(path=uri),
                width=1000,
                height=800,
                regions=regions,
                decision=Decision.REVIEW,
            )
        )
    return rows


def _region(image_id: str, index: int, rng: random.Random) -> Region:
    x, y = rng.randrange(900), rng.randrange(700)
    box = (float(x), float(y), float(x + rng.randint(4, 100)), float(y + rng.randint(4, 100)))
    text = f"thing number {index} of a kind that has a caption of common length"
    label = Label(
        kind=LabelKind.BRIEF_CAPTION, text=text, confidence=rng.random(), decision=Decision.REVIEW,
        reasons=["low margin"],
    )  # fmt: skip
    return Region(
        region_id=make_region_id(image_id, box),
        index=index,
        box_xyxy=box,
        box_source=Source.MODEL,
        brief_caption=text,
        decision=Decision.REVIEW,
        labels=[label],
    )


def make_dataset(out: Path, count: int, seed: int) -> None:
    """Write a finished dataset of generated rows."""
    run = open_run(str(out), {"seed": seed, "count": count}, {"corpus": "made-up"})
    rows = make_rows(count, seed)
    for index, begin in enumerate(range(0, count, ROWS_PER_SHARD)):
        batch = rows[begin : begin + ROWS_PER_SHARD]
        images = [CorpusImage(uri=row.uri) for row in batch]
        run.write_shard(Shard(shard_id=f"{index:05d}-{seed}", index=index, images=images), batch, [], "try-0")
    run.seal("made-up", ModelInfo(name="fo1-tiny", sha256="ab" * 32), "corpus")
