"""Pascal VOC: one XML file per image. Boxes stay as written, whether the source counts from 0 or from 1.

The image is the one in `filename`, else one named like the XML file. It is looked for in the XML file's
folder and up to two levels above, each time directly and in `images/` and `JPEGImages/`.
"""

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

from pydantic import ValidationError

from fo1_data.corpus.forms.record_fields import (
    box_of,
    keep_region_meta,
    text_of,
    validation_text,
    whole_number,
)
from fo1_data.corpus.places import ImagePlaces, listing_reject
from fo1_data.errors import InputReject
from fo1_data.storage.addresses import base_name, join, parent
from fo1_data.storage.downloads import download
from fo1_data.storage.streams import one_line
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Reject

_MAX_XML_BYTES = 2**24
_TIMEOUT_S = 60.0
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_META_NAMES = ("pose", "truncated", "difficult", "occluded")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".tif", ".tiff", ".bmp", ".webp")


def read_voc(addresses: Iterable[str]) -> Iterator[CorpusImage | Reject]:
    """The images of VOC XML files, in their order. A file that is not an annotation is a reject."""
    places: dict[str, ImagePlaces] = {}
    for address in addresses:
        folder = parent(address)
        if folder not in places:
            places[folder] = ImagePlaces(_roots(folder))
        try:
            yield _entry(address, places[folder])
        except ElementTree.ParseError as error:
            yield listing_reject(address, "bad_xml", f"{address} is not XML: {one_line(error)}")
        except InputReject as reject:
            yield listing_reject(address, reject.reason, reject.message)
        except (ValidationError, ValueError, OSError) as error:
            yield listing_reject(address, "bad_record", f"{address}: {validation_text(error)}")


def _roots(folder: str) -> list[str]:
    above = parent(folder)
    levels = (folder, above, parent(above))
    return [join(level, name) for level in levels for name in (".", "images", "JPEGImages")]


def _entry(address: str, places: ImagePlaces) -> CorpusImage:
    data = download(address, max_bytes=_MAX_XML_BYTES, timeout_s=_TIMEOUT_S)
    root = ElementTree.fromstring(data)
    if root.tag != "annotation":
        raise ValueError(f"the root element is {root.tag}, not annotation")
    objects = root.findall("object")
    meta = _texts(root, ("folder", "segmented"))
    keep_region_meta(meta, [_texts(item, _META_NAMES) for item in objects])
    stem = PurePosixPath(base_name(address)).stem
    return CorpusImage(
        uri=_find_image(_text(root, "filename"), stem, places),
        id=stem,
        width=whole_number(_text(root, "size/width")),
        height=whole_number(_text(root, "size/height")),
        regions=[_region(item) for item in objects],
        meta=meta or None,
    )


def _text(element: ElementTree.Element, path: str) -> str | None:
    text = element.findtext(path)
    return text.strip() or None if text else None


def _texts(element: ElementTree.Element, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: text for name in names if (text := _text(element, name)) is not None}


def _region(item: ElementTree.Element) -> CorpusRegion:
    corners = [_text(item, f"bndbox/{name}") for name in _CORNERS]
    return CorpusRegion(box_xyxy=box_of(corners), label=text_of(_text(item, "name")))


def _find_image(name: str | None, stem: str, places: ImagePlaces) -> str:
    if name is not None and (address := places.look(name)) is not None:
        return address
    for suffix in _SUFFIXES:
        address = places.look(stem + suffix)
        if address is not None:
            return address
    return places.find(name or f"{stem}.jpg")
