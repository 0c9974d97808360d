"""An annotated corpus divided for the loop: boxes that are to be named, and the names apart from them.

Writes under OUT: `images/` (each scaled down once), and `pool`, `check`, `held` (annotations.jsonl with boxes
and phrases to ground, without any name), and `gold/pool`, `gold/check`, `gold/held` with the names.
The held-out quarter is drawn by a seed of its own, the same for every run; it never trains, and nothing is
chosen by it. `check` is what people named beforehand to calibrate on, drawn from the rest; `pool` is what the
loop labels, reviews and learns from. Boxes: pixels of the scaled image.
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
PARTS = ("pool", "check", "held")

Entry = dict[str, Any]


def read_entries(corpus: Path) -> list[Entry]:
    """The corpus' entries that have boxes, each naming its image by absolute path."""
    lines = (corpus / "annotations.jsonl").read_text("utf-8").splitlines()
    entries = [json.loads(line) for line in lines if line.strip()]
    return [{**one, "image": str(corpus / one["image"])} for one in entries if one.get("regions")]


def divide(num: int, seed: int, num_check: int, num_pool: int) -> dict[str, list[int]]:
    """Which of `num` entries are held out, checked, and in the pool."""
    order = list(range(num))
    random.Random(HELD_OUT_SEED).shuffle(order)
    num_held = round(HELD_OUT_SHARE * num)
    held, rest = order[:num_held], order[num_held:]
    random.Random(seed).shuffle(rest)
    return {"held": held, "check": rest[:num_check], "pool": rest[num_check:][:num_pool]}


def names_of(entries: Sequence[Entry]) -> list[str]:
    """The distinct names of the corpus' boxes, the most frequent first."""
    counts = Counter(name_of(region) for entry in entries for region in entry["regions"])
    return [name for name, _ in counts.most_common()]


def name_of(region: dict[str, Any]) -> str:
    """What a box is called: its class, in the small letters that captions are compared in."""
    return str(region["label"]).lower()


def prepare(corpus: Path, out: Path, seed: int, num_check: int, num_pool: int, shrink: int) -> dict[str, Any]:
    """Write the parts; returns their sizes, the names, and the settings."""
    entries = read_entries(corpus)
    names = names_of(entries)
    told: dict[str, Any] = {"corpus": corpus.name, "names": names, "shrink": shrink}
    for part, places in divide(len(entries), seed, num_check, num_pool).items():
        chosen = [_scaled(entries[place], out / "images", place, shrink) for place in sorted(places)]
        _write(out / "gold" / part, [_named(entry, names) for entry in chosen])
        _write(out / part, [_unnamed(entry, names) for entry in chosen])
        told[part] = {"images": len(chosen), "boxes": sum(len(one["regions"]) for one in chosen)}
    return told


def _scaled(entry: Entry, folder: Path, place: int, shrink: int) -> Entry:
    folder.mkdir(parents=True, exist_ok=True)
    # Images of one name in several folders stay apart by their place.
    path = folder / f"{place:05d}-{Path(entry['image']).stem}.png"
    with Image.open(entry["image"]) as opened:
        width, height = opened.width // shrink, opened.height // shrink
        if not path.exists():
            partial = path.with_suffix(".partial")
            small = opened.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
            small.save(partial, "PNG")
            partial.replace(path)
        across, down = width / opened.width, height / opened.height
    regions = []
    for region in entry["regions"]:
        x_min, y_min, x_max, y_max = region["box_xyxy"]
        box = [x_min * across, y_min * down, x_max * across, y_max * down]
        regions.append({"box_xyxy": box, "label": region["label"]})
    return {"image": str(path.resolve()), "width": width, "height": height, "regions": regions}


def _named(entry: Entry, names: Sequence[str]) -> Entry:
    said = [name_of(region) for region in entry["regions"]]
    regions = [
        {"box_xyxy": region["box_xyxy"], "label": name, "caption": name}
        for region, name in zip(entry["regions"], said, strict=True)
    ]
    phrases = [
        {"text": name, "region_indices": [i for i, one in enumerate(said) if one == name]} for name in names
    ]
    return {**entry, "regions": regions, "phrases": phrases}


def _unnamed(entry: Entry, names: Sequence[str]) -> Entry:
    regions = [{"box_xyxy": region["box_xyxy"]} for region in entry["regions"]]
    return {**entry, "regions": regions, "phrases": [{"text": name} for name in names]}


def _write(folder: Path, entries: Sequence[Entry]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    (folder / "annotations.jsonl").write_text(text, encoding="utf-8")
