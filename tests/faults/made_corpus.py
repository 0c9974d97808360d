"""Small corpora with annotations of their own, one broken file and one image under two names."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image

from fo1_data.synthetic.gold import write_scenes

ANNOTATIONS = "annotations.jsonl"


def make_corpus(folder: Path, chance: random.Random, count: int) -> Path:
    """Write `count` images, a broken file, a copy, and annotations: a captioned box or two an image."""
    folder.mkdir(parents=True)
    lines = []
    for index in range(count):
        name, width = f"{index:03d}.png", 24 + index
        colour = (index * 5 % 256, chance.randrange(256), index % 256)
        Image.new("RGB", (width, 40), colour).save(folder / name)
        boxes = [(1.0 + at, 2.0, width - 4.0, 30.0 + at) for at in range(1 + index % 2)]
        regions = [
            {"box_xyxy": box, "label": "thing", "caption": f"{name} {at}"} for at, box in enumerate(boxes)
        ]
        lines.append({"image": name, "width": width, "height": 40, "regions": regions})
    _write(folder, lines, {**lines[2], "image": "002-same.png"}, "005-broken.png")
    return folder


def make_scenes(folder: Path, chance: random.Random, count: int) -> Path:
    """Write `count` scenes that the bundled model knows, with a broken file and a copy."""
    listing = write_scenes(folder, count, 100_000 + chance.randrange(10**6), (3, 5))
    lines = [json.loads(line) for line in listing.read_text().splitlines()]
    copied = {**lines[2], "image": "images/002-same.png", "id": "copied"}
    _write(folder, lines, copied, "images/005-broken.png")
    return folder


def annotations_of(corpus: Path) -> Counter[str]:
    """How many of each kind the corpus has, by the names of a dataset's account of its sources."""
    counts: Counter[str] = Counter()
    for text in (corpus / ANNOTATIONS).read_text().splitlines():
        line = json.loads(text)
        regions = line["regions"]
        counts["images"] += 1
        counts["boxes"] += len(regions)
        for name in ("caption", "detailed_caption"):
            counts["captions"] += sum(bool(region.get(name)) for region in regions)
        counts["texts"] += sum(bool(region.get("text")) for region in regions)
        counts["captions"] += bool(line.get("caption"))
        counts["phrases"] += len(line.get("phrases", ()))
        counts["counts"] += len(line.get("counts", ()))
    return +counts


def _write(folder: Path, lines: list[dict[str, Any]], copied: dict[str, Any], broken: str) -> None:
    (folder / copied["image"]).write_bytes((folder / lines[2]["image"]).read_bytes())
    (folder / broken).write_bytes(b"this is no image")
    lines += [copied, {"image": broken, "regions": []}]
    (folder / ANNOTATIONS).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
