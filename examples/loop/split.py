"""Splits an annotated corpus for the loop: boxes without names to label, and the gold names separately.

Writes under OUT: `images/` (scaled down), `pool`, `check`, `tune` and `held` (annotations.jsonl with boxes
and phrases to ground, without names), and the same under `gold/` with the names. `held` is the held-out
quarter, drawn by a seed of its own and the same for every run; nothing is trained on it or chosen by it.
`check` and `tune` are the parts that people named beforehand, to calibrate on and to choose the best
checkpoint by. `pool` is the part that the loop labels, reviews and learns from. Boxes are in pixels of the
scaled images.
"""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

HELD_OUT_SHARE = 0.25
HELD_OUT_SEED = 0
PARTS = ("pool", "check", "tune", "held")

Entry = dict[str, Any]


def load_entries(corpus: Path) -> list[Entry]:
    """The entries of the corpus that have boxes, with absolute paths of their images."""
    lines = (corpus / "annotations.jsonl").read_text("utf-8").splitlines()
    entries = [json.loads(line) for line in lines if line.strip()]
    return [{**entry, "image": str(corpus / entry["image"])} for entry in entries if entry.get("regions")]


def divide(
    num_entries: int, seed: int, num_check: int, num_pool: int, num_tune: int = 0
) -> dict[str, list[int]]:
    """The indices of the entries of each part."""
    order = list(range(num_entries))
    random.Random(HELD_OUT_SEED).shuffle(order)
    num_held_out = round(HELD_OUT_SHARE * num_entries)
    held_out, rest = order[:num_held_out], order[num_held_out:]
    random.Random(seed).shuffle(rest)
    check, tune, rest = rest[:num_check], rest[num_check:][:num_tune], rest[num_check + num_tune :]
    return {"held": held_out, "check": check, "tune": tune, "pool": rest[:num_pool]}


def names_of(entries: Sequence[Entry]) -> list[str]:
    """The distinct names of the corpus' boxes, the most frequent first."""
    counts = Counter(name_of(region) for entry in entries for region in entry["regions"])
    return [name for name, _ in counts.most_common()]


def name_of(region: dict[str, Any]) -> str:
    """The name of a box: its class in lower case, as captions are compared."""
    return str(region["label"]).lower()


def prepare(
    corpus: Path, out: Path, seed: int, num_check: int, num_pool: int, shrink: int, num_tune: int = 0
) -> dict[str, Any]:
    """Write the parts. Returns the number of images and boxes of each part, the names, and the settings."""
    entries = load_entries(corpus)
    names = names_of(entries)
    document: dict[str, Any] = {"corpus": corpus.name, "names": names, "shrink": shrink}
    for part, indices in divide(len(entries), seed, num_check, num_pool, num_tune).items():
        scaled = [_scaled(entries[index], out / "images", index, shrink) for index in sorted(indices)]
        _write(out / "gold" / part, [_named(entry, names) for entry in scaled])
        _write(out / part, [_unnamed(entry, names) for entry in scaled])
        document[part] = {"images": len(scaled), "boxes": sum(len(entry["regions"]) for entry in scaled)}
    return document


def take_boxes(data: Path, num_images: int) -> Path:
    """A corpus of the first images of the pool with their boxes alone, as people would draw them."""
    lines = (data / "pool" / "annotations.jsonl").read_text("utf-8").splitlines()[:num_images]
    folder = data / f"boxes-{num_images}"
    _write(folder, [{**json.loads(line), "phrases": []} for line in lines])
    return folder


def _scaled(entry: Entry, folder: Path, index: int, shrink: int) -> Entry:
    folder.mkdir(parents=True, exist_ok=True)
    # The index separates images of the same name in different folders.
    path = folder / f"{index:05d}-{Path(entry['image']).stem}.png"
    with Image.open(entry["image"]) as opened:
        width, height = opened.width // shrink, opened.height // shrink
        if not path.exists():
            partial = path.with_suffix(".partial")
            small = opened.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
            small.save(partial, "PNG")
            partial.replace(path)
        scale_x, scale_y = width / opened.width, height / opened.height
    regions = []
    for region in entry["regions"]:
        x_min, y_min, x_max, y_max = region["box_xyxy"]
        box = [x_min * scale_x, y_min * scale_y, x_max * scale_x, y_max * scale_y]
        regions.append({"box_xyxy": box, "label": region["label"]})
    return {"image": str(path.resolve()), "width": width, "height": height, "regions": regions}


def _named(entry: Entry, names: Sequence[str]) -> Entry:
    box_names = [name_of(region) for region in entry["regions"]]
    regions = [
        {"box_xyxy": region["box_xyxy"], "label": name, "caption": name}
        for region, name in zip(entry["regions"], box_names, strict=True)
    ]
    phrases = [
        {"text": name, "region_indices": [i for i, box_name in enumerate(box_names) if box_name == name]}
        for name in names
    ]
    return {**entry, "regions": regions, "phrases": phrases}


def _unnamed(entry: Entry, names: Sequence[str]) -> Entry:
    regions = [{"box_xyxy": region["box_xyxy"]} for region in entry["regions"]]
    return {**entry, "regions": regions, "phrases": [{"text": name} for name in names]}


def _write(folder: Path, entries: Sequence[Entry]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    (folder / "annotations.jsonl").write_text(text, encoding="utf-8")
