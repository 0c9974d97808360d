"""YOLO detection: `images/<split>/`, `labels/<split>/<same stem>.txt`, `data.yaml`. Images keep their names.

`data.yaml` has no `path`: readers then take its paths from its own folder, wherever they run.

A line is `class x_centre y_centre width height`, all but the class in shares of the image's size.
A stored image with an EXIF orientation is written upright, since readers differ in applying it.
Captions and groundings have no place in this form and are dropped, and so are classes that lost their ground
when people changed boxes.
"""

import json
import re

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.card import splits_of
from fo1_data.dataset.exports.categories import class_names, region_classes
from fo1_data.dataset.exports.names import names_of
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.pixels import suffix_of_bytes, upright, with_bytes
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.versions.publish import without_stale
from fo1_data.storage.store import Store
from schemas.images import ImageRow

_NOT_IN_YAML = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def export_yolo(dataset: Dataset, store: Store, limits: InputLimits) -> dict[str, int]:
    """Write every split; returns how many images, boxes and classes."""
    names = class_names(dataset)
    numbers = {name: number for number, name in enumerate(names)}
    image_names = names_of(dataset)
    images = boxes = 0
    splits = splits_of(dataset.manifest.files)
    for split in splits:
        for row, data in with_bytes(map(without_stale, light_rows(dataset, split)), limits):
            lines = _lines(row, numbers)
            data = upright(row, data, limits)
            stem = image_names.stem(row, split)
            store.write_bytes(f"images/{split}/{stem}.{suffix_of_bytes(data)}", data)
            store.write_bytes(f"labels/{split}/{stem}.txt", "".join(lines).encode())
            images += 1
            boxes += len(lines)
    store.write_bytes("data.yaml", _data_yaml(splits, names).encode())
    return {"images": images, "boxes": boxes, "classes": len(names)}


def _lines(row: ImageRow, numbers: dict[str, int]) -> list[str]:
    classes = region_classes(row)
    lines = []
    for region in row.regions:
        x_min, y_min, x_max, y_max = region.box_xyxy
        shares = (
            (x_min + x_max) / 2 / row.width,
            (y_min + y_max) / 2 / row.height,
            (x_max - x_min) / row.width,
            (y_max - y_min) / row.height,
        )
        place = " ".join(f"{share:.6f}" for share in shares)
        lines += [f"{numbers[name]} {place}\n" for name in classes[region.region_id]]
    return lines


def _data_yaml(splits: list[str], names: list[str]) -> str:
    """YOLO needs `train` and `val`; for a missing split the other is named."""
    first = splits[0] if splits else "train"
    validation = "validation" if "validation" in splits else first
    lines = [
        f"train: images/{'train' if 'train' in splits else first}",
        f"val: images/{validation}",
    ]
    if "test" in splits:
        lines.append("test: images/test")
    lines.append("names:")
    lines += [f"  {number}: {_yaml_text(name)}" for number, name in enumerate(names)]
    return "\n".join(lines) + "\n"


def _yaml_text(text: str) -> str:
    """A text in quotes, as JSON has it, without the characters that YAML refuses or takes for line breaks."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
