"""Pascal VOC: one XML file per image. Boxes stay as written, whether the source counts from 0 or from 1.

The XML of the old LabelMe (MIT) has the same root: its polygons give the box around them, and what is marked
as deleted is left out.

The image is the one in `filename`; if that is not named like the XML file, and there is an image that is, it
is that one (tools forget to change `filename` when files are renamed). It is looked for in the XML file's
folder and up to two levels above, each time directly and in `images/` and `JPEGImages/`. Of a folder, images
without an XML file are listed too; whether they have boxes is not known.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

from pydantic import ValidationError

from fo1_data.corpus.forms.folder import ONE_IMAGE, plain_image
from fo1_data.corpus.forms.record_fields import (
    box_of,
    keep_region_meta,
    text_of,
    validation_text,
    whole_number,
)
from fo1_data.corpus.forms.shapes import box_around
from fo1_data.corpus.listing import Found, Item, Note, Piece, Refused
from fo1_data.corpus.places import ImagePlaces, children, join_verbatim, kind_of, listing_reject, walk
from fo1_data.errors import CorpusError, InputReject, one_line
from fo1_data.plurals import counted
from fo1_data.storage.addresses import base_name, is_web, join, parent, suffix_of
from fo1_data.storage.downloads import download
from fo1_data.storage.streams import open_stream
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Reject
from schemas.sources import ContentKind

_MAX_XML_BYTES = 2**24
_TIMEOUT_S = 60.0
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_META_NAMES = ("pose", "truncated", "difficult", "occluded", "attributes")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".tif", ".tiff", ".bmp", ".webp")
_IMAGE_FOLDERS = ("images", "JPEGImages")
_ONE_FILE = {ContentKind.SIDECARS: 1}


def read_voc_folder(folder: str, annotations: Sequence[str]) -> Iterator[Item]:
    """The images of the XML files, then every other image beside them or in the folders of images."""
    listed: set[str] = set()
    for item in read_voc(annotations):
        if isinstance(item, Piece):
            listed.add(item.entry.uri)
        yield item
    for address in _images_near(folder, {parent(address) for address in annotations}):
        if isinstance(address, Reject):
            yield Refused(folder, {}, address)
        elif address not in listed:
            yield plain_image(folder, address)


def _images_near(folder: str, xml_folders: set[str]) -> Iterator[str | Reject]:
    named = [join(folder, name) for name in _IMAGE_FOLDERS]
    roots = dict.fromkeys(
        [*named, *(join(parent(xml), name) for xml in xml_folders for name in _IMAGE_FOLDERS)]
    )
    seen: set[str] = set()
    for root in roots:
        for item in walk(root) if kind_of(root) == "folder" else ():
            if isinstance(item, Reject) or (item not in seen and suffix_of(item) != ".xml"):
                seen.add(item if isinstance(item, str) else "")
                yield item
    for beside in sorted({folder, *xml_folders}):
        for name in children(beside)[0]:
            address = join_verbatim(beside, name)
            if address not in seen and suffix_of(address) in _SUFFIXES:
                seen.add(address)
                yield address


@dataclass
class _Reading:
    """What the XML files read so far have in common."""

    places_of: Callable[[str], ImagePlaces] | None = None
    places: dict[str, ImagePlaces] = field(default_factory=dict)
    stems_of_image: dict[str, str] = field(default_factory=dict)
    stale: dict[str, list[str]] = field(default_factory=dict)


def is_voc(address: str) -> bool:
    """Whether an XML file is a VOC annotation, by its start."""
    try:
        with open_stream(address) as stream:
            head = stream.read(4096)
    except CorpusError:
        return False
    return b"<annotation" in head and b"<annotations" not in head


def read_voc(
    addresses: Iterable[str], places_of: Callable[[str], ImagePlaces] | None = None
) -> Iterator[Item]:
    """The images of VOC XML files, in their order. A file that is not an annotation is a reject.

    `places_of`: where the image of a file may be, if not near it.
    """
    reading = _Reading(places_of)
    for address in addresses:
        source = parent(address)
        yield Found(source, _ONE_FILE)
        try:
            root = _parse(address)
        except (ElementTree.ParseError, LookupError) as error:  # LookupError: of an unknown encoding
            reject = listing_reject(address, "bad_xml", f"{address} is not XML: {one_line(error)}")
        except InputReject as error:
            reject = listing_reject(address, error.reason, error.message)
        except (ValueError, OSError) as error:
            reject = listing_reject(address, "bad_record", f"{address}: {one_line(error)}")
        else:
            yield from _items(address, source, root, reading)
            continue
        yield Refused(source, _ONE_FILE, reject)
    for source, texts in reading.stale.items():
        files = counted(len(texts), "file names", "files name")
        message = f"{files} another image in <filename> ({texts[0]}); read as of the image that is named like"
        yield Note(source, f"{message} the file")


def _parse(address: str) -> ElementTree.Element:
    data = download(address, max_bytes=_MAX_XML_BYTES, timeout_s=_TIMEOUT_S)
    root = ElementTree.fromstring(data)
    if root.tag != "annotation":
        raise ValueError(f"the root element is {root.tag}, not annotation")
    return root


def _items(address: str, source: str, root: ElementTree.Element, reading: _Reading) -> Iterator[Item]:
    counts = Counter({ContentKind.BOXES: len(_objects(root))})
    yield Found(source, counts + Counter(ONE_IMAGE))
    if reading.places_of is not None:
        places = reading.places_of(address)
    else:
        places = reading.places.setdefault(source, ImagePlaces(_roots(source)))
    stem, name = PurePosixPath(base_name(address)).stem, _text(root, "filename")
    all_counts = counts + Counter({**ONE_IMAGE, **_ONE_FILE})
    try:
        image, is_own, is_stale = _find_image(name, stem, places)
        entry = _entry(image, stem, root)
    except (ValidationError, ValueError, OSError) as error:
        reject = listing_reject(address, "bad_record", f"{address}: {validation_text(error)}")
        yield Refused(source, all_counts, reject)
        return
    if is_stale:
        reading.stale.setdefault(source, []).append(f"{base_name(address)}: {name}")
    first_stem = reading.stems_of_image.setdefault(image, stem)
    if not is_own and first_stem != stem:
        message = f"{address} names {name}, as {first_stem}.xml does; whose boxes they are is not known"
        yield Refused(source, all_counts, listing_reject(address, "stale_filename", message))
        return
    yield Piece(source, entry, sidecars=1, may_repeat=True)


def _roots(folder: str) -> list[str]:
    above = parent(folder)
    levels = (folder, above, parent(above))
    return [join(level, name) for level in levels for name in (".", *_IMAGE_FOLDERS)]


def _entry(image: str, stem: str, root: ElementTree.Element) -> CorpusImage:
    objects = _objects(root)
    meta = _texts(root, ("folder", "segmented"))
    keep_region_meta(meta, [_texts(item, _META_NAMES) for item in objects])
    return CorpusImage(
        uri=image,
        id=stem,
        width=whole_number(_text(root, "size/width") or _text(root, "imagesize/ncols")),
        height=whole_number(_text(root, "size/height") or _text(root, "imagesize/nrows")),
        regions=[_region(item) for item in objects],
        meta=meta or None,
    )


def _objects(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [item for item in root.findall("object") if _text(item, "deleted") != "1"]


def _text(element: ElementTree.Element, path: str) -> str | None:
    text = element.findtext(path)
    return text.strip() or None if text else None


def _texts(element: ElementTree.Element, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: text for name in names if (text := _text(element, name)) is not None}


def _region(item: ElementTree.Element) -> CorpusRegion:
    corners: Sequence[Any] = [_text(item, f"bndbox/{name}") for name in _CORNERS]
    if item.find("bndbox") is None:
        around = box_around((_text(point, "x"), _text(point, "y")) for point in item.findall("polygon/pt"))
        corners = around or corners
    return CorpusRegion(box_xyxy=box_of(corners), label=text_of(_text(item, "name")))


def _find_image(name: str | None, stem: str, places: ImagePlaces) -> tuple[str, bool, bool]:
    """The image of an XML file, whether it is named like it, and whether `filename` names another."""
    named = _existing(places.look(name)) if name is not None else None
    if named is not None and PurePosixPath((name or "").replace("\\", "/")).stem == stem:
        return named, True, False
    own = _image_like(stem, places)
    if own is not None and (named is None or not is_web(own)):
        return own, True, named is not None and named != own
    return named or places.find(name or f"{stem}.jpg"), False, False


def _existing(address: str | None) -> str | None:
    return address if address is not None and kind_of(address) != "nothing" else None


def _image_like(stem: str, places: ImagePlaces) -> str | None:
    addresses = (_existing(places.look(stem + suffix)) for suffix in _SUFFIXES)
    return next((address for address in addresses if address is not None), None)
