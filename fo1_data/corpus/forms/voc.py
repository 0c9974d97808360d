"""Pascal VOC: one XML an image. Boxes stay as written, from 0 or from 1 as the source counts.

The image is the one `filename` names, else one named as the XML; it is looked for beside the XML
and up to two levels above it, there and in `images/` and `JPEGImages/`.
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
_KEPT = ("pose", "truncated", "difficult", "occluded")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".tif", ".tiff", ".bmp", ".webp")


def read_voc(addresses: Iterable[str]) -> Iterator[CorpusImage | Reject]:
    """The images of VOC XML files, in their order. A file that is no annotation is a reject."""
    places: dict[str, ImagePlaces] = {}
    for address in addresses:
        folder = parent(address)
        if folder not in places:
            places[folder] = ImagePlaces(_roots(folder))
        try:
            yield _entry(address, places[folder])
        except ElementTree.ParseError as error:
            yield listing_reject(address, "bad_xml", f"{address} is no XML: {one_line(error)}")
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
        raise ValueError(f"the outermost element is {root.tag}, not annotation")
    objects = root.findall("object")
    meta = _kept(root, ("folder", "segmented"))
    keep_region_meta(meta, [_kept(item, _KEPT) for item in objects])
    stem = PurePosixPath(base_name(address)).stem
    return CorpusImage(
        uri=_image(_text(root, "filename"), stem, places),
        id=stem,
        width=whole_number(_text(root, "size/width")),
        height=whole_number(_text(root, "size/height")),
        regions=[_region(item) for item in objects],
        meta=meta or None,
    )


def _text(element: ElementTree.Element, path: str) -> str | None:
    found = element.findtext(path)
    return found.strip() or None if found else None


def _kept(element: ElementTree.Element, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: text for name in names if (text := _text(element, name)) is not None}


def _region(item: ElementTree.Element) -> CorpusRegion:
    corners = [_text(item, f"bndbox/{name}") for name in _CORNERS]
    return CorpusRegion(box_xyxy=box_of(corners), label=text_of(_text(item, "name")))


def _image(name: str | None, stem: str, places: ImagePlaces) -> str:
    if name is not None and (found := places.look(name)) is not None:
        return found
    for suffix in _SUFFIXES:
        found = places.look(stem + suffix)
        if found is not None:
            return found
    return places.find(name or f"{stem}.jpg")
