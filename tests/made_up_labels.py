"""Made-up labels with known verdicts: rows with signals, and the gold that says which captions are right."""

import hashlib
import json
from pathlib import Path

import numpy as np

from fo1_data.confidence.judged_kind import JudgedKind
from fo1_data.dataset.writer import open_run
from schemas.corpus import Shard
from schemas.dataset import Manifest, ModelInfo
from schemas.images import EncodedImage, Grounding, ImageRow, Provenance
from schemas.labels import Label, LabelKind, Signal, Source
from schemas.regions import Region, make_region_id

MODEL_SHA256 = "ab" * 32


def made_kind(
    seed: int = 0, num_images: int = 200, error: float = 0.2, together: float = 1.0, most: int = 8
) -> JudgedKind:
    """Judged labels. Trust varies by image (by `together`) and by label, and decides which labels are right.

    About the share `error` is wrong. `logprob_mean` follows the trust closely, `margin_min` only a little,
    and `stop_margin` is missing from a third of the labels.
    """
    rng = np.random.default_rng(seed)
    ids, tables, right = [], [], []
    for image in range(num_images):
        image_id = hashlib.sha256(f"{seed}-{image}".encode()).hexdigest()
        shared = together * rng.normal()
        for _ in range(int(rng.integers(1, most + 1))):
            trust = shared + rng.normal()
            probability = 1 / (1 + np.exp(-(2.2 * trust + np.log((1 - error) / error) * 1.9)))
            ids.append(image_id)
            right.append(bool(rng.random() < probability))
            table = {"logprob_mean": -np.exp(-trust), "margin_min": trust + 3 * rng.normal()}
            if rng.random() < 2 / 3:
                table["stop_margin"] = rng.normal()
            tables.append({name: float(value) for name, value in table.items()})
    every = np.ones(len(right), dtype=bool)
    return JudgedKind(ids, tables, every, np.array(right), every, every, ~every)


def made_row(number: int, seed: int = 0, num_regions: int = 4, error: float = 0.25) -> ImageRow:
    """A row of captions and one grounding. A caption is wrong if its text starts with "wrong"."""
    rng = np.random.default_rng([seed, number])
    image_id = hashlib.sha256(f"{seed}|{number}".encode()).hexdigest()
    regions = []
    for index in range(num_regions):
        box = (10.0 * index, 0.0, 10.0 * index + 8, 8.0)
        trust = rng.normal()
        wrong = rng.random() < 1 / (1 + np.exp(2.5 * trust - np.log(error / (1 - error))))
        text = f"{'wrong' if wrong else 'right'} thing {index}"
        regions.append(
            Region(
                region_id=make_region_id(image_id, box),
                index=index,
                box_xyxy=box,
                box_source=Source.CORPUS,
                brief_caption=text,
                labels=[_label(LabelKind.BRIEF_CAPTION, text, trust, rng)],
            )
        )
    named = [regions[0].region_id] if rng.random() < 0.8 else []
    label = _label(LabelKind.GROUND, "first thing", 1.0 if named else -1.0, rng)
    uri = f"images/{number:05d}.png"
    return ImageRow(
        image_id=image_id,
        uri=uri,
        uris=[uri],
        corpus="made-up",
        split="train",
        image=EncodedImage(path=uri),
        width=100,
        height=20,
        regions=regions,
        groundings=[Grounding(phrase="first thing", kind=LabelKind.GROUND, region_ids=named, label=label)],
        provenance=Provenance(model="made-up", model_sha256=MODEL_SHA256, prompts_version="1"),
    )


def _label(kind: LabelKind, text: str, trust: float, rng: np.random.Generator) -> Label:
    values = {
        "logprob_mean": -np.exp(-trust),
        "logprob_min": -2 * np.exp(-trust) - rng.random(),
        "margin_min": abs(trust + rng.normal()),
        **{f"feature_{index}": rng.normal() for index in range(8)},
    }
    signals = [Signal(name=name, value=float(np.float32(value))) for name, value in values.items()]
    return Label(kind=kind, text=text, signals=signals)


def write_gold(path: Path, rows: list[ImageRow]) -> Path:
    """An annotations.jsonl by which the captions that start with "right" are right, and the phrase names the
    first region."""
    lines = []
    for row in rows:
        regions = [
            {"box_xyxy": list(region.box_xyxy), "label": "thing", "caption": f"right thing {region.index}"}
            for region in row.regions
        ]
        phrases = [{"text": "first thing", "region_indices": [0]}]
        document = {"image": row.uri, "width": row.width, "height": row.height}
        lines.append(json.dumps({**document, "regions": regions, "phrases": phrases}))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_dataset(out: Path, rows: list[ImageRow], rows_per_shard: int = 50) -> Manifest:
    """A finished dataset of the rows, labelled by the made-up model."""
    entries = {"model_sha256": MODEL_SHA256, "proposer_sha256": "cd" * 32, "prompts_version": "1"}
    run = open_run(str(out), entries, {"corpus": "made-up", "labels": ["brief_caption", "ground"]})
    for index, start in enumerate(range(0, len(rows), rows_per_shard)):
        shard = Shard(shard_id=f"{index:05d}", index=index, images=[])
        run.write_shard(shard, rows[start : start + rows_per_shard], [], f"try-{index}")
    return run.seal("made-up", ModelInfo(name="made-up", sha256=MODEL_SHA256), "corpus")
