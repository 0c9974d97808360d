"""YOLO: a text file per image with one line per box: class, centre x, centre y, width, height.

Numbers are shares of the image's width and height and stay so (`box_unit` `share`): listing opens no image. A
number that is no share (beyond 0..1 by more than 1 %) makes its line a reject. `yolo_lines` says which lines
are read. As in YOLO, an image without a label file has no boxes; a label file without an image is a reject.
The corpus is a `data.yaml`, a folder with `images/` and `labels/`, or a folder of labels with its images
nearby. Class names come from the YAML file, or from `classes.txt` or `obj.names`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from fo1_data.corpus.forms.class_names import CLASS_FILES, YAML_NAMES, NamelessClasses, class_file, names_of
from fo1_data.corpus.forms.folder import ONE_IMAGE
from fo1_data.corpus.forms.record_fields import keep_region_meta
from fo1_data.corpus.forms.yolo_lines import NotShares, region_of_line
from fo1_data.corpus.listing import Found, Item, LateNote, Piece, Refused
from fo1_data.corpus.places import ImagePlaces, kind_of, listing_reject, walk
from fo1_data.errors import CorpusError, one_line
from fo1_data.plurals import counted
from fo1_data.storage.addresses import base_name, join, parent, suffix_of
from fo1_data.storage.streams import read_whole
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Reject
from schemas.sources import ContentKind

_HEAD_CHARACTERS = 2**16
_SPLITS = ("train", "val", "valid", "test")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".webp", ".bmp", ".tif", ".tiff")


def read_yolo_yaml(address: str) -> Iterator[Item]:
    """The images of every split in a `data.yaml`. A split that is not there is a reject."""
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
    names = names_of(document.get("names"))
    has_keypoints = "kpt_shape" in document
    base = _base_folder(address, document.get("path"))
    places: list[tuple[str, str]] = []
    missing: list[str] = []
    for split, value in splits.items():
        for place in value if isinstance(value, list) else [value]:
            found = _find_place(base, parent(address), str(place))
            if found is None:
                own = parent(address)
                where = f"not in {base}" if base == own else f"neither in {base} nor in {own}"
                missing.append(f"{place}, which is {where}")
            else:
                places.append((split, found))
    if not places:
        raise CorpusError(f"the YOLO data file names {missing[0]}")
    for text in missing:
        message = f"{address} names {text}"
        yield Refused(address, {}, listing_reject(address, "missing_split", message))
    images: dict[str, str] = {}
    again: Counter[tuple[str, str]] = Counter()
    refused: set[str] = set()
    nameless = NamelessClasses()
    yield LateNote(address, nameless.messages)
    yield LateNote(address, lambda: _named_again(again))
    for split, place in places:
        for item in _list_images(place):
            if isinstance(item, Reject):
                if item.uri not in refused:
                    refused.add(item.uri)
                    yield Refused(address, {}, item)
            elif item in images:
                again[images[item], split] += 1
            else:
                images[item] = split
                items = image_items(address, item, _label_file(item), names, {"split": split}, has_keypoints)
                yield from nameless.watched(items, names)
    folders = dict.fromkeys(place for _, place in places if suffix_of(place) != ".txt")
    label_folders = (_label_folder(folder) for folder in folders)
    yield from _without_image(address, (folder for folder in label_folders if folder), images)


def _named_again(again: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """A line for each two splits that name the same images; again: how many, by both."""
    for (first, split), number in again.items():
        named = f"{counted(number, 'image')} of {split} {'was' if number == 1 else 'were'} named before"
        yield f"{named}, in {first}: read once"


def read_yolo_folder(folder: str) -> Iterator[Item]:
    """The images of a folder with `images/` and `labels/`, or of a folder of labels with images nearby."""
    for name in YAML_NAMES:
        if kind_of(join(folder, name)) == "file":
            yield from read_yolo_yaml(join(folder, name))
            return
    names = class_file(folder)
    images = join(folder, "images")
    if kind_of(images) != "folder":
        yield from _from_labels(folder, names)
        return
    listed: set[str] = set()
    nameless = NamelessClasses()
    yield LateNote(folder, nameless.messages)
    for item in walk(images):
        if isinstance(item, Reject):
            yield Refused(folder, {}, item)
        else:
            listed.add(item)
            yield from nameless.watched(image_items(folder, item, _label_file(item), names, {}, False), names)
    yield from _without_image(folder, [join(folder, "labels")], listed)


def _without_image(source: str, folders: Iterable[str], images: Iterable[str]) -> Iterator[Item]:
    """A reject for each label file of `folders` that belongs to none of the images."""
    known = {_label_file(image) for image in images}
    for folder in folders:
        for item in walk(folder) if kind_of(folder) == "folder" else ():
            if isinstance(item, Reject):
                yield Refused(source, {}, item)
            elif suffix_of(item) == ".txt" and base_name(item) not in CLASS_FILES and item not in known:
                known.add(item)
                counts = Counter({ContentKind.SIDECARS: 1, ContentKind.BOXES: len(_lines(_read(item)))})
                boxes = counted(counts[ContentKind.BOXES], "box", "boxes")
                message = f"{item}: {boxes} of an image that is not there"
                yield Found(source, counts)
                yield Refused(source, counts, listing_reject(item, "no_image", message))


def is_yolo_folder(folder: str, files: list[str], folders: list[str]) -> bool:
    """Whether a folder is a YOLO corpus, by the names in it."""
    if any(name in files for name in YAML_NAMES):
        return True
    if "labels" not in folders:
        return False
    labels = join(folder, "labels")
    return any(isinstance(item, str) and suffix_of(item) == ".txt" for item in walk(labels))


def _from_labels(folder: str, names: dict[int, str]) -> Iterator[Item]:
    above = parent(folder)
    labels = join(folder, "labels")
    nameless = NamelessClasses()
    yield LateNote(folder, nameless.messages)
    for item in walk(labels if kind_of(labels) == "folder" else folder):
        if isinstance(item, Reject):
            yield Refused(folder, {}, item)
        elif suffix_of(item) == ".txt" and base_name(item) not in CLASS_FILES:
            split = base_name(parent(item))
            roots = [join(top, f"images/{split}") for top in (folder, above)]
            roots += [join(top, "images") for top in (folder, above)] + [parent(item), folder, above]
            stem = PurePosixPath(base_name(item)).stem
            items = image_items(folder, _image_named(stem, ImagePlaces(roots)), item, names, {}, False)
            yield from nameless.watched(items, names)


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


def _find_place(base: str, folder: str, place: str) -> str | None:
    candidates = (join(base, place), join(folder, place), join(folder, place.removeprefix("../")))
    return next((candidate for candidate in candidates if kind_of(candidate) != "nothing"), None)


def _list_images(place: str) -> Iterator[str | Reject]:
    if suffix_of(place) == ".txt":
        for line in read_whole(place).decode("utf-8", "surrogateescape").splitlines():
            if line.strip():
                yield join(parent(place), line.strip())
    else:
        yield from (item for item in walk(place) if isinstance(item, Reject) or suffix_of(item) != ".txt")


def _label_folder(images: str) -> str | None:
    """The folder of the labels of a folder of images; None if they lie beside the images."""
    head, _, tail = f"{images.rstrip('/')}/".rpartition("/images/")
    return f"{head}/labels/{tail}".rstrip("/") if head else None


def _label_file(image: str) -> str:
    """The label file of an image: with `labels` for `images` in its path, else in the same folder."""
    head, _, tail = image.rpartition("/images/")
    path = f"{head}/labels/{tail}" if head else image
    stem, dot, _ = path.rpartition(".")
    return f"{stem if dot and '/' not in path[len(stem) :] else path}.txt"


def _read(label_file: str) -> str:
    return read_whole(label_file).decode("utf-8", "replace")


def _lines(text: str) -> list[tuple[int, list[str]]]:
    """The lines of a label file that hold something, with their numbers."""
    return [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def is_yolo_text(address: str) -> bool:
    """Whether every line of a text file has the form of a YOLO label; an empty file has."""
    lines = [fields for _, fields in _lines(_read(address)[:_HEAD_CHARACTERS])][:100]
    return all(len(fields) >= 5 and _are_numbers(fields) for fields in lines)


def _are_numbers(fields: list[str]) -> bool:
    try:
        return bool([float(field) for field in fields])
    except ValueError:
        return False


def image_items(
    source: str,
    image: str,
    label_file: str,
    names: dict[int, str],
    meta: dict[str, Any],
    has_keypoints: bool,
) -> Iterator[Item]:
    """An image with the boxes of its label file, if there is one."""
    yield Found(source, ONE_IMAGE)
    lines: list[tuple[int, list[str]]] = []
    num_sidecars = 0
    if kind_of(label_file) == "file":
        num_sidecars = 1
        yield Found(source, {ContentKind.SIDECARS: 1})
        try:
            lines = _lines(_read(label_file))
        except CorpusError as error:
            num_sidecars = 0
            reject = listing_reject(label_file, "unreadable", str(error))
            yield Refused(source, {ContentKind.SIDECARS: 1}, reject)
    yield Found(source, {ContentKind.BOXES: len(lines)})
    regions: list[CorpusRegion] = []
    region_meta: list[dict[str, Any]] = []
    for number, fields in lines:
        where = f"{label_file}:{number}"
        try:
            region, more = region_of_line(fields, names, has_keypoints)
        except NotShares:
            message = f"{where}: {' '.join(fields)[:200]}: the numbers are not shares of 0 to 1"
            reject = listing_reject(where, "not_shares", message)
            yield Refused(source, {ContentKind.BOXES: 1}, reject)
        except ValueError:
            message = f"{where} is not a YOLO label: class, then 4 shares or points"
            yield Refused(source, {ContentKind.BOXES: 1}, listing_reject(where, "bad_line", message))
        else:
            regions.append(region)
            region_meta.append(more)
    meta = dict(meta)
    keep_region_meta(meta, region_meta)
    stem = _text_id(PurePosixPath(base_name(image)).stem)
    entry = CorpusImage(uri=image, id=stem, regions=regions, box_unit="share", meta=meta or None)
    yield Piece(source, entry, num_sidecars)


def _text_id(stem: str) -> str:
    return stem.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
