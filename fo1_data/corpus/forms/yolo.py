"""YOLO: a text file per image with one line per box: class, centre x, centre y, width, height.

Numbers are shares of the image's width and height and stay so (`box_unit` `share`): listing opens no image. A
segmentation line (class, then x y pairs) gives the box around its points. As in YOLO, an image without a
label file has no boxes. The corpus is a `data.yaml`, a folder with `images/` and `labels/`, or a folder of
labels with its images nearby. Class names come from the YAML file, or from `classes.txt` or `obj.names`.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import yaml

from fo1_data.boxes import as_boxes, cxcywh_to_xyxy
from fo1_data.corpus.places import ImagePlaces, kind_of, listing_reject, walk
from fo1_data.errors import CorpusError
from fo1_data.storage.addresses import base_name, join, parent, suffix_of
from fo1_data.storage.streams import one_line, read_whole
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Reject

YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
CLASS_FILES = ("classes.txt", "obj.names", "labels.txt")
_SPLITS = ("train", "val", "valid", "test")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".webp", ".bmp", ".tif", ".tiff")


def read_yolo_yaml(address: str) -> Iterator[CorpusImage | Reject]:
    """The images of every split in a `data.yaml`."""
    try:
        document = yaml.safe_load(read_whole(address))
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise CorpusError(f"{address} is not YAML: {one_line(error)}") from error
    splits = (
        {name: document[name] for name in _SPLITS if document.get(name)} if isinstance(document, dict) else {}
    )
    if not splits:
        raise CorpusError(
            f"{address} is not a YOLO data file: looked for the keys train, val or test, and names"
        )
    names = _names(document.get("names"))
    has_keypoints = "kpt_shape" in document
    base = _base_folder(address, document.get("path"))
    listed: set[str] = set()
    for split, value in splits.items():
        for place in value if isinstance(value, list) else [value]:
            for item in _list_images(_find_place(base, parent(address), str(place))):
                if isinstance(item, Reject):
                    yield item
                elif item not in listed:
                    listed.add(item)
                    yield from _entry(item, _label_file(item), names, {"split": split}, has_keypoints)


def read_yolo_folder(folder: str) -> Iterator[CorpusImage | Reject]:
    """The images of a folder with `images/` and `labels/`, or of a folder of labels with images nearby."""
    for name in YAML_NAMES:
        if kind_of(join(folder, name)) == "file":
            yield from read_yolo_yaml(join(folder, name))
            return
    names = _class_file(folder)
    images = join(folder, "images")
    if kind_of(images) == "folder":
        for item in walk(images):
            if isinstance(item, Reject):
                yield item
            else:
                yield from _entry(item, _label_file(item), names, {}, False)
        return
    yield from _from_labels(folder, names)


def is_yolo_folder(folder: str, files: list[str], folders: list[str]) -> bool:
    """Whether a folder is a YOLO corpus, by the names in it."""
    if any(name in files for name in YAML_NAMES):
        return True
    if "labels" not in folders:
        return False
    labels = join(folder, "labels")
    return any(isinstance(item, str) and suffix_of(item) == ".txt" for item in walk(labels))


def _from_labels(folder: str, names: dict[int, str]) -> Iterator[CorpusImage | Reject]:
    above = parent(folder)
    labels = join(folder, "labels")
    for item in walk(labels if kind_of(labels) == "folder" else folder):
        if isinstance(item, Reject):
            yield item
        elif suffix_of(item) == ".txt" and base_name(item) not in CLASS_FILES:
            split = base_name(parent(item))
            roots = [join(top, f"images/{split}") for top in (folder, above)]
            roots += [join(top, "images") for top in (folder, above)] + [parent(item), folder, above]
            stem = PurePosixPath(base_name(item)).stem
            yield from _entry(_image_named(stem, ImagePlaces(roots)), item, names, {}, False)


def _image_named(stem: str, places: ImagePlaces) -> str:
    addresses = (places.look(stem + suffix) for suffix in _SUFFIXES)
    return next((address for address in addresses if address is not None), places.find(f"{stem}.jpg"))


def _base_folder(address: str, path: Any) -> str:
    folder = parent(address)
    if not isinstance(path, str) or not path:
        return folder
    base = join(folder, path)
    # The path in a YAML file is often its author's; its own folder is used then.
    return base if kind_of(base) == "folder" else folder


def _find_place(base: str, folder: str, place: str) -> str:
    for candidate in (join(base, place), join(folder, place), join(folder, place.removeprefix("../"))):
        if kind_of(candidate) != "nothing":
            return candidate
    raise CorpusError(f"the YOLO data file names {place}, which is neither in {base} nor in {folder}")


def _list_images(place: str) -> Iterator[str | Reject]:
    if suffix_of(place) == ".txt":
        for line in read_whole(place).decode("utf-8", "surrogateescape").splitlines():
            if line.strip():
                yield join(parent(place), line.strip())
    else:
        yield from (item for item in walk(place) if isinstance(item, Reject) or suffix_of(item) != ".txt")


def _label_file(image: str) -> str:
    """The label file of an image: with `labels` for `images` in its path, else in the same folder."""
    head, _, tail = image.rpartition("/images/")
    path = f"{head}/labels/{tail}" if head else image
    stem, dot, _ = path.rpartition(".")
    return f"{stem if dot and '/' not in path[len(stem) :] else path}.txt"


def _names(value: Any) -> dict[int, str]:
    if isinstance(value, list):
        return {index: str(name) for index, name in enumerate(value)}
    if isinstance(value, dict):
        return {int(index): str(name) for index, name in value.items() if str(index).isdigit()}
    return {}


def _class_file(folder: str) -> dict[int, str]:
    for place in (folder, join(folder, "labels"), parent(folder)):
        for name in CLASS_FILES:
            address = join(place, name)
            if kind_of(address) == "file":
                lines = read_whole(address).decode("utf-8", "replace").splitlines()
                return {index: line.strip() for index, line in enumerate(lines) if line.strip()}
    return {}


def _entry(
    image: str, label_file: str, names: dict[int, str], meta: dict[str, Any], has_keypoints: bool
) -> Iterator[CorpusImage | Reject]:
    regions: list[CorpusRegion] = []
    try:
        text = read_whole(label_file).decode("utf-8", "replace") if kind_of(label_file) == "file" else ""
    except CorpusError as error:
        yield listing_reject(label_file, "unreadable", str(error))
        text = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            regions.append(_region(line.split(), names, has_keypoints))
        except ValueError:
            where = f"{label_file}:{number}"
            yield listing_reject(
                where, "bad_line", f"{where} is not a YOLO label: class, then 4 shares or points"
            )
    stem = PurePosixPath(base_name(image)).stem
    yield CorpusImage(uri=image, id=_text_id(stem), regions=regions, box_unit="share", meta=meta or None)


def _text_id(stem: str) -> str:
    return stem.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _region(fields: list[str], names: dict[int, str], has_keypoints: bool) -> CorpusRegion:
    index = int(float(fields[0]))
    values = [float(field) for field in fields[1:]]
    if len(values) in (4, 5) or (has_keypoints and len(values) > 4):
        box = cxcywh_to_xyxy(as_boxes([values[:4]]))[0]
    elif len(values) >= 6 and len(values) % 2 == 0:
        points = np.array(values, dtype=np.float32).reshape(-1, 2)
        box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    else:
        raise ValueError("neither a box nor points")
    left, top, right, bottom = (float(value) for value in box)
    return CorpusRegion(box_xyxy=(left, top, right, bottom), label=names.get(index, str(index)))
