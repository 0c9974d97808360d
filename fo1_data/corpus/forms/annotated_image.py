"""What an annotation file of a labelling tool says of one image, as items of a listing."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from fo1_data.corpus.forms.image_lookup import ImageLookup
from fo1_data.corpus.forms.record_fields import keep_region_meta, validation_text, whole_number
from fo1_data.corpus.forms.shapes import BoxXyxy
from fo1_data.corpus.listing import Found, Item, Piece, Refused
from fo1_data.corpus.places import listing_reject
from fo1_data.plurals import counted
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Reject
from schemas.sources import ContentKind


@dataclass
class AnnotatedImage:
    """One image of an annotation file.

    `where` names the record in messages; `names` are tried in order to find the image. `regions` is None if
    the file does not say whether there are any. `unusable`: a message for each shape that is no box, and
    what is lost with it. `unit` is `share` if the boxes are parts of the image's width and height.
    """

    where: str
    names: list[str]
    id: str | None = None
    width: Any = None
    height: Any = None
    unit: str = "pixel"
    regions: list[CorpusRegion] | None = None
    region_meta: list[dict[str, Any]] = field(default_factory=list)
    unusable: list[tuple[str, dict[ContentKind, int]]] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)

    def add_shape(
        self, box: BoxXyxy | None, shape: str, texts: dict[str, str | None], meta: dict[str, Any]
    ) -> None:
        """Add a shape's box with its texts; without one it is unusable. `shape`: its kind, for messages."""
        if self.regions is None:
            self.regions = []
        if box is None:
            label = texts.get("label")
            counts = {
                ContentKind.BOXES: 1,
                ContentKind.CAPTIONS: int(bool(texts.get("caption"))),
                ContentKind.TEXTS: int(texts.get("text") is not None),
            }
            self.unusable.append((f"{shape}{f' ({label})' if label else ''} has no box around it", counts))
            return
        self.regions.append(CorpusRegion.model_validate({"box_xyxy": box, **texts}))
        self.region_meta.append(
            {key: value for key, value in meta.items() if value not in (None, {}, [], "")}
        )


def items_of_image(
    source: str, image: AnnotatedImage, lookup: ImageLookup, num_shapes: int
) -> Iterator[Item]:
    """The items of one image; `num_shapes`: how many shapes the source holds for it, as counted there.

    An image that cannot be found, or that several files fit, is refused with all that is said of it.
    """
    counts = _counts_of(image, num_shapes)
    yield Found(source, counts)
    found = _addresses_of(image, lookup, source)
    if len(found) != 1:
        yield Refused(source, counts, _not_found(image, found))
        return
    try:
        entry = _entry_of(image, found[0])
    except (ValidationError, ValueError) as error:
        reject = listing_reject(image.where, "bad_record", f"{image.where}: {validation_text(error)}")
        yield Refused(source, counts, reject)
        return
    for message, lost in image.unusable:
        reject = listing_reject(image.where, "not_a_box", f"{image.where}: {message}")
        yield Refused(source, lost, reject)
    yield Piece(source, entry, may_repeat=True)


def _counts_of(image: AnnotatedImage, num_shapes: int) -> Counter[ContentKind]:
    """What is said of an image, with what is lost with unusable shapes."""
    regions = image.regions or []
    texts = [text for region in regions for text in (region.caption, region.detailed_caption) if text]
    counts = Counter(
        {
            ContentKind.IMAGES: 1,
            ContentKind.CAPTIONS: len(texts) + len(image.captions),
            ContentKind.TEXTS: sum(region.text is not None for region in regions),
        }
    )
    for _, lost in image.unusable:
        counts.update(lost)
    counts[ContentKind.BOXES] = num_shapes
    return counts


def _addresses_of(image: AnnotatedImage, lookup: ImageLookup, source: str) -> list[str]:
    """The files that the first name fits which fits any."""
    for name in image.names:
        try:
            found = lookup.look(name, source)
        except ValueError:  # half of a surrogate pair, which no file has in its name
            found = []
        if found:
            return found
    return []


def _entry_of(image: AnnotatedImage, uri: str) -> CorpusImage:
    meta = dict(image.meta)
    if len(image.captions) > 1:
        meta["captions"] = image.captions
    keep_region_meta(meta, image.region_meta)
    return CorpusImage(
        uri=uri,
        id=image.id,
        width=whole_number(image.width),
        height=whole_number(image.height),
        regions=image.regions,
        box_unit="share" if image.unit == "share" else "pixel",
        caption=image.captions[0] if image.captions else None,
        meta=meta or None,
    )


def _not_found(image: AnnotatedImage, found: list[str]) -> Reject:
    name = image.names[0] if image.names else "no name"
    what = f" ({counted(len(image.regions), 'box', 'boxes')})" if image.regions else ""
    if found:
        message = f"{image.where} names {name}{what}, which may be any of {', '.join(found[:3])}"
        return listing_reject(image.where, "ambiguous_image", message)
    return listing_reject(
        image.where, "no_such_image", f"{image.where} names {name}{what}, and there is no such file"
    )
