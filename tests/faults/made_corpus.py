"""A small corpus with annotations of its own, one broken file and one image under two names."""

import json
import random
from pathlib import Path

from PIL import Image


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
    copied = {**lines[2], "image": "002-same.png"}
    (folder / "002-same.png").write_bytes((folder / "002.png").read_bytes())
    (folder / "005-broken.png").write_bytes(b"this is no image")
    lines += [copied, {"image": "005-broken.png", "regions": []}]
    (folder / "annotations.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder
