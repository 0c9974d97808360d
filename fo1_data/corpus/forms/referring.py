"""Referring expressions in COCO JSON: RefCOCO's `refs`, and MDETR's images that carry an expression.

RefCOCO   "refs": [{"image_id", "ann_id", "sentences": [{"sent"}]}]: each names the box of an annotation
MDETR     images with `dataset_name` refcoco... and `caption`: it names all boxes of that image record
"""

from collections import Counter, defaultdict
from typing import Any

from fo1_data.corpus.forms.benchmarks import num_unread, phrases_of
from fo1_data.corpus.forms.record_fields import id_of, objects_of, text_of
from fo1_data.corpus.listing import Found, Item, Refused
from fo1_data.corpus.places import listing_reject
from schemas.sources import ContentKind

# By image id: the expression, and the id of the annotation that it names (None: all of the image).
Expressions = dict[str | None, list[tuple[str, str | None]]]


def expressions_of(document: dict[str, Any], address: str) -> tuple[Expressions, list[Item]]:
    """The expressions of a COCO document by image, and what is refused of them."""
    expressions: Expressions = defaultdict(list)
    faults: list[Item] = []
    refs = document.get("refs")
    for image in objects_of(document, "images") if not isinstance(refs, list) else ():
        is_refcoco = str(image.get("dataset_name", "")).lower().startswith("refcoco")
        text = text_of(image.get("caption"))
        if is_refcoco and text is not None and image.get("id") is not None:
            expressions[id_of(image["id"])].append((text, None))
    if not isinstance(refs, list):
        return expressions, faults
    image_of = {
        id_of(item.get("id")): id_of(item.get("image_id"))
        for item in objects_of(document, "annotations")
        if item.get("id") is not None and (item.get("bbox") or item.get("segmentation"))
    }
    for number, ref in enumerate(refs):
        fields = ref if isinstance(ref, dict) else {}
        image_id, annotation_id = id_of(fields.get("image_id")), id_of(fields.get("ann_id"))
        texts = phrases_of(fields.get("sentences"))
        unread = num_unread(fields.get("sentences"))
        if texts and annotation_id in image_of and image_of[annotation_id] == image_id:
            expressions[image_id] += [(text, annotation_id) for text in texts]
            if not unread:
                continue
            texts = []
        where = f"{address}#refs/{number}"
        counts = Counter({ContentKind.PHRASES: max(len(texts) + unread, 1)})
        message = f"{where} names no sentence, or no annotation with a box (ann_id) of its image (image_id)"
        faults += [
            Found(address, counts),
            Refused(address, counts, listing_reject(where, "bad_record", message)),
        ]
    return expressions, faults
