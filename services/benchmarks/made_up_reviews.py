"""Made-up rows to be reviewed, and a finished dataset of them; their images need not exist."""

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
ROWS_A_SHARD = 500


def make_rows(count: int, seed: int) -> list[ImageRow]:
    """Rows to be reviewed, of NUM_REGIONS regions each, whose images need not exist."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        image_id = hashlib.sha256(f"{seed} {number}".encode()).hexdigest()
        regions = [_region(image_id, index, chance) for index in range(NUM_REGIONS)]
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


def _region(image_id: str, index: int, chance: random.Random) -> Region:
    x, y = chance.randrange(900), chance.randrange(700)
    box = (float(x), float(y), float(x + chance.randint(4, 100)), float(y + chance.randint(4, 100)))
    text = f"thing number {index} of a kind that has a caption of common length"
    label = Label(
        kind=LabelKind.BRIEF_CAPTION, text=text, confidence=chance.random(), decision=Decision.REVIEW,
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
    """A finished dataset of made-up rows."""
    run = open_run(str(out), {"seed": seed, "count": count}, {"corpus": "made-up"})
    rows = make_rows(count, seed)
    for index, begin in enumerate(range(0, count, ROWS_A_SHARD)):
        some = rows[begin : begin + ROWS_A_SHARD]
        images = [CorpusImage(uri=row.uri) for row in some]
        run.write_shard(Shard(shard_id=f"{index:05d}-{seed}", index=index, images=images), some, [], "try-0")
    run.seal("made-up", ModelInfo(name="fo1-tiny", sha256="ab" * 32), "corpus")
