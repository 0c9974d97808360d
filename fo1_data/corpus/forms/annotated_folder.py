"""A folder of images and of annotation files of any tool, in any arrangement.

Every annotation file in it is recognised by its contents (see `annotation_files`), every image is listed, and
what several files say of an image is united. Label files that share an image's name (YOLO's text files, VOC's
XML) belong to the image of that name whose folder is most alike; a text beside an image that is no label file
is its caption. An image that no file names is listed without a word on its boxes; the frames of a video that
is kept as images are listed as that video. A file that looks like annotations and that nothing reads is a
reject (`annotations_not_read`).

The images come in the order of their addresses. Holds all that the files say in memory.
"""

import heapq
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from fo1_data.corpus.forms import caption_text, mot
from fo1_data.corpus.forms.annotation_files import (
    csv_columns,
    is_cvat,
    items_of_csv,
    items_of_json_file,
    items_of_records,
    load_class_list,
)
from fo1_data.corpus.forms.class_names import CLASS_FILES, YAML_NAMES, NamelessClasses, class_names_of
from fo1_data.corpus.forms.cvat import read_cvat
from fo1_data.corpus.forms.folder import plain_image
from fo1_data.corpus.forms.folder_files import (
    OTHER_ANNOTATIONS,
    FolderFiles,
    is_companion,
    list_folder_files,
    take_raster_sidecars,
    walk_order,
)
from fo1_data.corpus.forms.image_lookup import FolderPlaces, has_image_suffix
from fo1_data.corpus.forms.mot_lines import is_mot_text
from fo1_data.corpus.forms.open_images import is_image_list
from fo1_data.corpus.forms.track_items import items_of_mot_text
from fo1_data.corpus.forms.voc import is_voc, read_voc
from fo1_data.corpus.forms.yolo import image_items, is_yolo_text
from fo1_data.corpus.listing import Found, Item, Piece, PlainImage, Refused
from fo1_data.corpus.listing_progress import ListingProgress
from fo1_data.corpus.places import listing_reject
from fo1_data.errors import CorpusError
from fo1_data.plurals import counted
from fo1_data.storage.addresses import base_name, parent, suffix_of
from fo1_data.storage.streams import open_stream
from schemas.corpus import CorpusImage
from schemas.sources import ContentKind

NOT_READ = "annotations_not_read"
# Of these forms a file that is given alone and cannot be read is told what it lacks.
_TOLD_ALONE = (".csv", ".json", ".jsonl", ".parquet", ".xml")
_ONE_FILE = {ContentKind.SIDECARS: 1}
# How much of a file is searched for names of images, and how many files a reject names.
_SEARCHED_BYTES = 2**20
_MOST_NAMES = 20
_IMAGE_NAME = re.compile(rb"[\w\-]\.(?:jpe?g|png|webp|bmp|tiff?|avif)\b", re.IGNORECASE)


def read_annotated_folder(address: str, progress: ListingProgress) -> Iterator[Item]:
    """The images of a folder with what its annotation files say; without any, its plain files."""
    folder = list_folder_files(address, progress)
    for reject in folder.rejects:
        yield Refused(address, {}, reject)
    by_image: dict[str, list[Item]] = defaultdict(list)
    for image, num_sidecars in take_raster_sidecars(folder).items():
        contents = {ContentKind.IMAGES: 1, ContentKind.SIDECARS: num_sidecars}
        by_image[image] += [Found(address, contents), Piece(address, CorpusImage(uri=image), num_sidecars)]
    unread: list[str] = []
    not_annotations: list[str] = []
    num_read = 0
    loose: list[Item] = []
    for sequence in folder.sequences:
        num_read += 1
        loose += _by_image(_items_of_sequence(sequence, folder), by_image, folder.framed)
    for group in _groups(folder):
        items = _items(group, folder)
        progress.annotation_files_read += len(group)
        if items is not None:
            num_read += 1
            loose += _by_image(items, by_image, folder.framed)
        elif _looks_like_annotations(group[0], folder):
            unread += group
        else:
            not_annotations += group
    yield from loose
    for place, nameless in folder.nameless.items():
        yield from nameless.notes(place)
    yield from _told(address, unread, "of no known form", _hint_on_form)
    others = [*folder.others, *not_annotations]
    if num_read:
        others = [item for item in folder.others if item in by_image or not is_companion(item)]
    order = walk_order(address)
    images: Iterable[str] = folder.images
    if others:
        images = heapq.merge(images, sorted(others, key=order), key=order)
    for image in images:
        items_of_image = by_image.pop(image, None)
        if items_of_image:
            yield from _found_first(items_of_image)
        elif image not in folder.framed:
            yield plain_image(address, image)
    for items_elsewhere in by_image.values():
        yield from _found_first(items_elsewhere)


def unread_beside_yolo(address: str) -> Iterator[Item]:
    """A reject for the files below a YOLO folder that look like annotations of another form."""
    folder = list_folder_files(address, ListingProgress())
    others = [item for item in folder.annotations if suffix_of(item) not in (".txt", ".yaml", ".yml")]
    unread = [item for item in others if _looks_like_annotations(item, folder)]
    yield from _told(
        address, unread, "not read beside a YOLO set", lambda _: "give it as a corpus of its own"
    )


def _items_of_sequence(sequence: str, folder: FolderFiles) -> Iterable[Item]:
    try:
        return list(mot.read_sequence(sequence))
    except CorpusError as error:
        return _unreadable(sequence, folder, error)


def _unreadable(address: str, folder: FolderFiles, error: CorpusError) -> list[Item]:
    reject = listing_reject(address, "unreadable", str(error))
    return [Found(folder.address, _ONE_FILE), Refused(folder.address, _ONE_FILE, reject)]


def _groups(folder: FolderFiles) -> Iterator[list[str]]:
    """The annotation files: those of VOC in a folder together, because they are read together."""
    xml: dict[str, list[str]] = defaultdict(list)
    for address in folder.annotations:
        if suffix_of(address) == ".xml" and is_voc(address):
            xml[parent(address)].append(address)
        elif not _is_part(address):
            yield [address]
    yield from xml.values()


def _is_part(address: str) -> bool:
    """Whether a file belongs to a form and says nothing of an image by itself: names of classes, lists."""
    name = base_name(address)
    in_image_sets = "/ImageSets/" in address
    if name in CLASS_FILES or name in YAML_NAMES or in_image_sets:
        return True
    if suffix_of(address) == ".csv":
        return is_image_list(csv_columns(address)) or bool(load_class_list(address))
    if suffix_of(address) != ".txt":
        return False
    with open_stream(address) as stream:
        lines = [line.strip() for line in stream.read(_SEARCHED_BYTES).splitlines() if line.strip()]
    return bool(lines) and all(has_image_suffix(line.decode("utf-8", "replace")) for line in lines[:100])


def _items(group: list[str], folder: FolderFiles) -> Iterable[Item] | None:
    """What a file says, by the reader of its form; None if none reads it."""
    address, suffix = group[0], suffix_of(group[0])
    try:
        if suffix == ".json":
            return items_of_json_file(address, folder.lookup)
        if suffix == ".csv":
            return items_of_csv(address, folder.lookup, folder.classes)
        if suffix in (".jsonl", ".ndjson", ".parquet"):
            return items_of_records(address, FolderPlaces(folder.lookup, address))
        if suffix == ".xml" and is_cvat(address):
            return list(read_cvat(address, folder.lookup))
        if suffix == ".xml" and is_voc(address):
            return read_voc(group, lambda xml: FolderPlaces(folder.lookup, xml))
        if base_name(address) in mot.TEXTS and is_mot_text(address):
            return list(items_of_mot_text(address))
        if suffix == ".txt" and is_yolo_text(address):
            return _yolo_items(address, folder)
        return _caption_items(address, folder) if suffix in (".txt", caption_text.SUFFIX) else None
    except CorpusError as error:
        return _unreadable(address, folder, error)


def _image_of(label_file: str, folder: FolderFiles) -> list[str]:
    stem = label_file.removesuffix(suffix_of(label_file))
    return folder.lookup.look(stem.replace("/labels/", "/images/"), label_file)


def _yolo_items(address: str, folder: FolderFiles) -> Iterator[Item] | None:
    """What a YOLO label file says of the image of its name."""
    images = _image_of(address, folder)
    if not images and base_name(parent(address)) != "labels":
        return None
    if len(images) == 1:
        place = parent(address)
        if place not in folder.yolo_names:
            folder.yolo_names[place] = class_names_of(address, folder.address)
            folder.nameless[place] = NamelessClasses()
        names, has_keypoints = folder.yolo_names[place]
        items = image_items(place, images[0], address, names, {}, has_keypoints)
        return folder.nameless[place].watched(items, names)
    message = f"{address}: {'no image has' if not images else 'several images have'} its name"
    reject = listing_reject(address, "ambiguous_image" if images else "no_such_image", message)
    refused: list[Item] = [Found(parent(address), _ONE_FILE), Refused(parent(address), _ONE_FILE, reject)]
    return iter(refused)


def _caption_items(address: str, folder: FolderFiles) -> Iterator[Item] | None:
    """What a text says of the one image of its name beside it; None if there is none, or no text."""
    images = [image for image in _image_of(address, folder) if parent(image) == parent(address)]
    return caption_text.items_of_caption(address, images[0]) if len(images) == 1 else None


def _by_image(items: Iterable[Item], by_image: dict[str, list[Item]], framed: set[str]) -> list[Item]:
    """Put what comes before each piece to it, under the name of its image; return the rest.

    framed: gets the images that are frames of a video.
    """
    pending: list[Item] = []
    for item in items:
        pending.append(item)
        if isinstance(item, Piece) and item.entry.frame_files is not None:
            framed.update(item.entry.frame_files.addresses)
        if isinstance(item, Piece | PlainImage):
            by_image[item.entry.name if isinstance(item, Piece) else item.uri] += pending
            pending = []
    return pending


def _found_first(items: list[Item]) -> list[Item]:
    """What is found of an image before what becomes of it, so that a limit does not part its pieces."""
    whole = (replace(item, may_repeat=False) if isinstance(item, Piece) else item for item in items)
    return sorted(whole, key=lambda item: not isinstance(item, Found))


def _looks_like_annotations(address: str, folder: FolderFiles) -> bool:
    """Whether a file has an image's name, or names images and says more of them."""
    if suffix_of(address) in OTHER_ANNOTATIONS:
        return True
    stem = PurePosixPath(base_name(address)).stem
    beside = (image for image in folder.lookup.look(stem, address) if parent(image) == parent(address))
    if suffix_of(address) != ".parquet" and any(beside):
        return True
    with open_stream(address) as stream:
        return _IMAGE_NAME.search(stream.read(_SEARCHED_BYTES)) is not None


def _hint_on_form(suffix: str) -> str:
    return "name one alone as the corpus to see what it lacks" if suffix in _TOLD_ALONE else ""


def _told(folder: str, addresses: list[str], what: str, hint: Callable[[str], str]) -> Iterator[Item]:
    """One reject for each suffix, which names the first files. hint: what to do, by the suffix."""
    by_suffix: dict[str, list[str]] = defaultdict(list)
    for address in addresses:
        by_suffix[suffix_of(address)].append(address)
    for suffix, files in by_suffix.items():
        names = ", ".join(address.removeprefix(f"{folder.rstrip('/')}/") for address in files[:_MOST_NAMES])
        more = f" and {len(files) - _MOST_NAMES} more" if len(files) > _MOST_NAMES else ""
        alike = counted(
            len(files), "file looks like annotations and is", "files look like annotations and are"
        )
        message = "; ".join(filter(None, [f"{alike} {what}: {names}{more}", hint(suffix)]))
        yield Found(folder, {ContentKind.SIDECARS: len(files)})
        yield Refused(folder, {ContentKind.SIDECARS: len(files)}, listing_reject(files[0], NOT_READ, message))
