"""COCO JSON: `images`, `annotations` (boxes x, y, width, height; masks; captions) and `categories`.

The whole file is held in memory. Images are looked for in its folder, in `images/`, and in folders named like
the split in the file name (`instances_train2017.json` -> `train2017/`), there and one level up. Ids, crowd
flags and other short fields are kept in `meta`. Of a segmentation, only the box around it is kept, where the
annotation has no box. Without the key `annotations`, whether an image has boxes is not known. Ids are
compared as text. Also reads a JSON list of records, and RefCOCO's and MDETR's files (see `referring`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from pydantic import ValidationError

from fo1_data.corpus.forms.annotations import items_of_record, places_beside
from fo1_data.corpus.forms.benchmarks import is_benchmark_record, read_records
from fo1_data.corpus.forms.class_names import NamelessClasses
from fo1_data.corpus.forms.coco_annotation import (
    Annotation,
    count_annotation,
    is_boxed,
    other_fields,
    region_of,
)
from fo1_data.corpus.forms.folder import ONE_IMAGE
from fo1_data.corpus.forms.record_fields import (
    id_of,
    keep_region_meta,
    name_key_of,
    objects_of,
    text_of,
    validation_text,
    whole_number,
)
from fo1_data.corpus.forms.referring import Expressions, expressions_of
from fo1_data.corpus.listing import Found, Item, Note, Piece, Refused, WantedImages
from fo1_data.corpus.places import ImagePlaces, listing_reject
from fo1_data.corpus.source_lines import counts_text
from fo1_data.errors import CorpusError
from fo1_data.plurals import counted
from fo1_data.storage.addresses import base_name, join, parent
from schemas.corpus import CorpusImage, CorpusPhrase
from schemas.sources import ContentKind

# Images that annotations name and the file does not list: so many are named each by its own reject.
_MOST_ORPHANS = 20


def is_coco_json(document: Any) -> bool:
    """Whether a JSON document is COCO's or a list of records that name images."""
    if isinstance(document, list):
        first = document[0] if document else None
        return isinstance(first, dict) and (name_key_of(first) is not None or is_benchmark_record(first))
    return isinstance(document, dict) and isinstance(document.get("images"), list)


def read_coco_json(
    document: Any, address: str, places: ImagePlaces | None = None, wanted: WantedImages | None = None
) -> Iterator[Item]:
    """The contents of a COCO document, or of a JSON list of records.

    `places`: where their images are. `wanted`: records of other images are left out.
    """
    if isinstance(document, list):
        yield from _records(document, address, places or places_beside(address), wanted)
    elif is_coco_json(document):
        yield from read_coco_document(document, address, places or ImagePlaces(_roots(address)), wanted)
    else:
        raise CorpusError(
            f"{address} is not a COCO file: looked for the keys images, annotations and categories"
        )


def _records(
    document: list[Any], address: str, places: ImagePlaces, wanted: WantedImages | None
) -> Iterator[Item]:
    if document and is_benchmark_record(document[0]):
        records = ((f"{address}#{number}", record) for number, record in enumerate(document))
        yield from read_records(records, address, places)
        return
    for number, record in enumerate(document):
        yield from items_of_record(record, address, f"{address}#{number}", places, wanted)


@dataclass
class _Document:
    """What a COCO file says, by image id. `files_of_id`: the different files that have the id."""

    address: str
    names: dict[str | None, str | None]
    by_image: dict[str | None, list[Annotation]]
    expressions: Expressions
    has_boxes: bool
    wanted: WantedImages
    files_of_id: dict[str | None, list[str]] = field(default_factory=lambda: defaultdict(list))


def read_coco_document(
    document: dict[str, Any], address: str, places: ImagePlaces, wanted: WantedImages | None = None
) -> Iterator[Item]:
    """The contents of a COCO document with its list of images; `address` names it in rejects."""
    by_image: dict[str | None, list[Annotation]] = defaultdict(list)
    annotations = document.get("annotations")
    for number, annotation in enumerate(annotations if isinstance(annotations, list) else []):
        if isinstance(annotation, dict):
            by_image[id_of(annotation.get("image_id"))].append(annotation)
        else:
            where = f"{address}#annotations/{number}"
            yield from _refused(
                address, Counter({ContentKind.BOXES: 1}), where, "bad_record", "is not an object"
            )
    if annotations is not None and not isinstance(annotations, list):
        reject = listing_reject(address, "bad_record", f"{address}: annotations is not a list")
        yield Refused(address, {}, reject)
    says_none = annotations == []
    has_boxes = says_none or any(is_boxed(item) for group in by_image.values() for item in group)
    expressions, faults = expressions_of(document, address)
    yield from faults
    contents = _Document(address, {}, by_image, expressions, has_boxes, wanted or WantedImages())
    yield from _read_names(document, contents)
    images = document["images"]
    for image in images:
        if isinstance(image, dict) and isinstance(image.get("file_name"), str):
            files = contents.files_of_id[id_of(image.get("id"))]
            if image["file_name"] not in files:
                files.append(image["file_name"])
    yield from _nameless(contents)
    for number in _in_order_of_files(images):
        yield from _image(images[number], f"{address}#images/{number}", contents, places)
    yield from _orphans(contents)


def _nameless(contents: _Document) -> Iterator[Item]:
    """A note if boxes of listed images have a category that is not listed."""
    nameless = NamelessClasses()
    for annotation in chain.from_iterable(contents.by_image.get(name, ()) for name in contents.files_of_id):
        category = annotation.get("category_id")
        number = text_of(category) if is_boxed(annotation) else None
        if number is not None and not contents.names.get(id_of(category)):
            nameless.meet(number)
    yield from nameless.notes(contents.address)


def _read_names(document: dict[str, Any], contents: _Document) -> Iterator[Item]:
    for category in objects_of(document, "categories"):
        category_id, name = id_of(category.get("id")), text_of(category.get("name"))
        earlier = contents.names.setdefault(category_id, name)
        if earlier != name:
            message = f"category id {category_id} is {earlier!r} and {name!r}; the first is used"
            yield Note(contents.address, message)


def _in_order_of_files(images: list[Any]) -> list[int]:
    """The numbers of the images, with records of one file next to each other."""
    by_file: dict[Any, list[int]] = {}
    for number, image in enumerate(images):
        name = image.get("file_name") if isinstance(image, dict) else None
        by_file.setdefault(name if isinstance(name, str) else number, []).append(number)
    return [number for numbers in by_file.values() for number in numbers]


def _image(image: Any, where: str, contents: _Document, places: ImagePlaces) -> Iterator[Item]:
    address = contents.address
    if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
        yield from _refused(address, Counter(ONE_IMAGE), where, "no_image", "has no file_name")
        return
    image_id = id_of(image.get("id"))
    files = contents.files_of_id[image_id]
    is_known = image_id is None or len(files) < 2
    annotations = contents.by_image.pop(image_id, []) if image_id is not None else []
    expressions = contents.expressions.pop(image_id, [])
    if _is_left_out(image["file_name"], contents.wanted, places):
        yield Found(address, {})
        return
    counts = sum((count_annotation(item) for item in annotations), Counter[ContentKind]())
    counts[ContentKind.PHRASES] += len(expressions)
    if not is_known:
        if counts.total():
            text = f"{files[0]} and {files[1]} both have the id {image_id}, with {counts_text(counts)}"
            yield from _refused(address, counts, address, "ambiguous_id", text)
        annotations, expressions, counts = [], [], Counter()
    yield Found(address, counts + Counter(ONE_IMAGE))
    has_boxes = contents.has_boxes and is_known
    try:
        entry = _entry(image, annotations, expressions, contents.names, places, has_boxes)
        yield Piece(address, entry, may_repeat=True)
    except (ValidationError, ValueError, TypeError, OSError, RecursionError) as error:
        message = f"{where}: {validation_text(error)}"
        yield Refused(address, counts + Counter(ONE_IMAGE), listing_reject(where, "bad_record", message))


def _is_left_out(name: str, wanted: WantedImages, places: ImagePlaces) -> bool:
    try:
        return wanted.names is not None and wanted.exclude(places.find(name))
    except (ValueError, OSError):
        return False


def _orphans(contents: _Document) -> Iterator[Item]:
    """What names an image that is not listed: a reject per image, and one for all beyond the first."""
    where = f"{contents.address}#annotations"
    orphans: dict[str | None, Counter[ContentKind]] = defaultdict(Counter)
    for image_id, annotations in contents.by_image.items():
        for annotation in annotations:
            orphans[image_id].update(count_annotation(annotation))
    for image_id, expressions in contents.expressions.items():
        orphans[image_id][ContentKind.PHRASES] += len(expressions)
    silent = sum(not count_annotation(item).total() for group in contents.by_image.values() for item in group)
    if silent:
        alike = counted(silent, "annotation has", "annotations have")
        message = f"{where}: {alike} no listed image, no box and no caption"
        yield Refused(contents.address, {}, listing_reject(where, "unknown_annotation", message))
    orphans = {image_id: counts for image_id, counts in orphans.items() if counts.total()}
    for image_id, counts in list(orphans.items())[:_MOST_ORPHANS]:
        image = "no image" if image_id is None else f"image {image_id}, which is not listed"
        text = f"{counts_text(counts)} name {image}"
        yield from _refused(contents.address, counts, where, "unknown_image", text)
    rest = list(orphans.values())[_MOST_ORPHANS:]
    if rest:
        total = sum(rest, Counter[ContentKind]())
        text = f"{counts_text(total)} name {len(rest)} more images, which are not listed"
        yield from _refused(contents.address, total, where, "unknown_image", text)


def _refused(
    address: str, counts: Counter[ContentKind], where: str, reason: str, text: str
) -> Iterator[Item]:
    yield Found(address, counts)
    yield Refused(address, counts, listing_reject(where, reason, f"{where}: {text}"))


def _entry(
    image: dict[str, Any],
    annotations: list[Annotation],
    expressions: list[tuple[str, str | None]],
    names: dict[str | None, str | None],
    places: ImagePlaces,
    has_boxes: bool,
) -> CorpusImage:
    meta = {k: v for k, v in image.items() if k not in ("id", "file_name", "width", "height")}
    boxed = [item for item in annotations if is_boxed(item)]
    others = [item for item in annotations if not is_boxed(item)]
    captions = [caption for item in others if (caption := text_of(item.get("caption"))) is not None]
    if "captions" in meta:
        meta["image_captions"] = meta.pop("captions")
    if captions:
        meta["captions"] = captions
    unboxed = [item for item in others if text_of(item.get("caption")) is None]
    if unboxed:
        meta["annotations"] = unboxed
    if expressions:
        meta.pop("caption", None)
    keep_region_meta(
        meta, [{k: v for k, v in other_fields(item).items() if v not in (None, {}, [])} for item in boxed]
    )
    return CorpusImage(
        uri=places.find(image["file_name"]),
        id=id_of(image.get("id")),
        width=whole_number(image.get("width")),
        height=whole_number(image.get("height")),
        regions=[region_of(item, names) for item in boxed] if has_boxes else None,
        caption=captions[0] if captions else None,
        phrases=_phrases(expressions, boxed),
        meta=meta or None,
    )


def _phrases(expressions: list[tuple[str, str | None]], boxed: list[Annotation]) -> list[CorpusPhrase]:
    """Expressions with the box of an annotation, or (no annotation named) of all of the image."""
    indices = {id_of(item.get("id")): index for index, item in enumerate(boxed)}
    return [
        CorpusPhrase(
            text=text,
            region_indices=(list(range(len(boxed))) or None)
            if annotation_id is None
            else [indices[annotation_id]],
        )
        for text, annotation_id in expressions
    ]


def _roots(address: str) -> list[str]:
    """Folders of images beside the file and one level up; RefCOCO's images are those of `train2014`."""
    folder_of_file = parent(address)
    above = parent(folder_of_file)
    split = base_name(address).rsplit(".", 1)[0].rpartition("_")[2]
    names = (".", "images", split, f"images/{split}", "train2014", "images/train2014")
    return [join(folder, name) for folder in (folder_of_file, above) for name in names]
