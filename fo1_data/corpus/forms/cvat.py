"""CVAT for images 1.1: one XML file with an `image` element for each image, and its shapes; and its tracks.

Boxes: pixels of the declared size. A turned box gives the upright box around it, with its `rotation` in
`meta`; a polygon, line, ellipse, mask, cuboid or skeleton the box around it; a single point none. Attributes
named `caption`, `description`, `text` or `transcription` are taken as such, other ones are kept in `meta`,
as are `tag` elements of the image. The file is read as a stream; for tracks of videos see `cvat_tracks`.
"""

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from fo1_data.corpus.forms.annotated_image import AnnotatedImage, items_of_image
from fo1_data.corpus.forms.cvat_shapes import SHAPES, box_of_shape
from fo1_data.corpus.forms.cvat_tracks import CvatTracks
from fo1_data.corpus.forms.image_lookup import ImageLookup
from fo1_data.corpus.forms.record_fields import text_of
from fo1_data.corpus.forms.shapes import texts_of_attributes
from fo1_data.corpus.forms.video_tracks import ReadVideo, items_of_video
from fo1_data.corpus.listing import Item, Refused
from fo1_data.corpus.places import listing_reject
from fo1_data.corpus.video.listing import is_video
from fo1_data.errors import CorpusError, one_line
from fo1_data.storage.streams import open_stream

# Of an encoding that nobody knows, or that expat does not read.
NOT_XML = (ElementTree.ParseError, LookupError, ValueError)
_META = ("occluded", "z_order", "rotation", "group_id", "source")


def read_cvat(address: str, lookup: ImageLookup) -> Iterator[Item]:
    """The images of a CVAT file, in its order, then its videos; a fault in the file is refused."""
    number, tracks = 0, CvatTracks(address)
    try:
        for element in _images(address, tracks):
            where = f"{address}#image/{element.get('id') or number}"
            yield from _items(address, where, element, lookup)
            number += 1
    except NOT_XML as error:
        message = f"{address} is not XML from image {number} on: {one_line(error)}"
        yield Refused(address, {}, listing_reject(address, "bad_xml", message))
    for read in tracks.videos():
        found = lookup.look(read.video.video, address)
        if len(found) == 1 and is_video(found[0]):
            yield from items_of_video(address, read, found[0])
        else:
            yield from items_of_video(address, read, None)


def read_cvat_tracks(address: str) -> list[ReadVideo]:
    """The videos of a CVAT file with their tracks. Raises CorpusError if it is not XML."""
    tracks = CvatTracks(address)
    try:
        for _ in _images(address, tracks):
            pass
    except NOT_XML as error:
        raise CorpusError(f"{address} is not XML: {one_line(error)}") from error
    return tracks.videos()


def _images(address: str, tracks: CvatTracks) -> Iterator[ElementTree.Element]:
    """The `image` elements of a file, each until the next one is read; `tracks` takes what is of tracks."""
    with open_stream(address) as stream:
        for _, element in ElementTree.iterparse(stream):
            if element.tag == "image":
                yield element
            elif element.tag == "track":
                tracks.add(element)
            elif element.tag == "meta":
                tracks.read_meta(element)
            if element.tag in ("image", "track", "meta"):
                element.clear()


def _items(address: str, where: str, element: ElementTree.Element, lookup: ImageLookup) -> Iterator[Item]:
    name = element.get("name") or ""
    subset = element.get("subset")
    tags = [tag.get("label") for tag in element.findall("tag")]
    image = AnnotatedImage(
        where=where,
        names=[f"{subset}/{name}", name] if subset else [name],
        id=element.get("id"),
        width=element.get("width"),
        height=element.get("height"),
        regions=[],
        meta={key: value for key, value in (("subset", subset), ("tags", tags)) if value},
    )
    shapes = [child for child in element if child.tag in SHAPES]
    for shape in shapes:
        attributes = {str(item.get("name")): item.text for item in shape.findall("attribute")}
        texts, other = texts_of_attributes(attributes, text_of(shape.get("label")))
        meta: dict[str, Any] = {key: value for key in _META if (value := shape.get(key)) not in (None, "0")}
        image.add_shape(
            box_of_shape(shape), shape.tag, texts, {"shape": shape.tag, **meta, "attributes": other}
        )
    yield from items_of_image(address, image, lookup, len(shapes))
