"""The Arrow schema of a dataset, version 2: explicit, never inferred.

Version 2 added, at the ends: `box_moved` and `annotated_at` of a label, `caption_label` and
`source_caption` of a row. `fo1_data.dataset.version_1` reads version 1. Since then, `mask_rle` and `track_id`
of a region were added (revision 1 of version 2); `fo1_data.dataset.added_members` reads files without them.

Nested columns mirror `schemas.images.ImageRow` field by field. `huggingface` metadata makes
`datasets` decode the `image` column as an image.
"""

import json

import pyarrow as pa

from schemas.dataset import SCHEMA_VERSION

BOX = pa.list_(pa.field("element", pa.float32(), nullable=False), 4)

SIGNAL = pa.struct([("name", pa.string()), ("value", pa.float32())])

LABEL = pa.struct(
    [
        ("kind", pa.string()),
        ("text", pa.string()),
        ("confidence", pa.float32()),
        ("signals", pa.list_(SIGNAL)),
        ("decision", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("source", pa.string()),
        ("annotator", pa.string()),
        ("box_moved", pa.bool_()),
        ("annotated_at", pa.string()),
    ]
)

# COCO's compressed run lengths, as its tools take them: `size` is height, width.
MASK_RLE = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])

REGION = pa.struct(
    [
        ("region_id", pa.string()),
        ("index", pa.int32()),
        ("box_xyxy", BOX),
        ("objectness", pa.float32()),
        ("box_source", pa.string()),
        ("source_label", pa.string()),
        ("source_caption", pa.string()),
        ("brief_caption", pa.string()),
        ("detailed_caption", pa.string()),
        ("text", pa.string()),
        ("decision", pa.string()),
        ("labels", pa.list_(LABEL)),
        ("mask_rle", MASK_RLE),
        ("track_id", pa.string()),
    ]
)

GROUNDING = pa.struct(
    [("phrase", pa.string()), ("kind", pa.string()), ("region_ids", pa.list_(pa.string())), ("label", LABEL)]
)

COUNT = pa.struct(
    [("phrase", pa.string()), ("count", pa.int32()), ("region_ids", pa.list_(pa.string())), ("label", LABEL)]
)

ANSWER = pa.struct(
    [
        ("question", pa.string()),
        ("region_id", pa.string()),
        ("answer", pa.string()),
        ("reasoning", pa.string()),
        ("label", LABEL),
    ]
)

PROVENANCE = pa.struct(
    [
        (name, pa.string())
        for name in (
            "job_id",
            "model",
            "model_sha256",
            "proposer",
            "prompts_version",
            "licence",
            "labelled_at",
        )
    ]
)

_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("image_id", pa.string()),
    ("uri", pa.string()),
    ("uris", pa.list_(pa.string())),
    ("corpus", pa.string()),
    ("split", pa.string()),
    ("source_id", pa.string()),
    ("meta", pa.string()),
    ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("orientation", pa.int32()),
    ("regions", pa.list_(REGION)),
    ("groundings", pa.list_(GROUNDING)),
    ("counts", pa.list_(COUNT)),
    ("answers", pa.list_(ANSWER)),
    ("caption", pa.string()),
    ("decision", pa.string()),
    ("provenance", PROVENANCE),
    ("caption_label", LABEL),
    ("source_caption", pa.string()),
]

REJECT_SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
        ("replayable", pa.bool_()),
        ("image_id", pa.string()),
        ("source", pa.string()),
    ]
)


def _feature(kind: pa.DataType) -> object:
    """The Hugging Face feature of an Arrow type, in the form `datasets` stores in a schema."""
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _feature(kind.value_type), "length": kind.list_size, "_type": "List"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    names = {"double": "float64", "float": "float32"}
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}


def _huggingface_metadata() -> dict[str, str]:
    features = {name: _feature(kind) for name, kind in _COLUMNS}
    features["image"] = {"_type": "Image"}
    return {"huggingface": json.dumps({"info": {"features": features}})}


IMAGE_SCHEMA = pa.schema(_COLUMNS).with_metadata(
    {"fo1_schema_version": str(SCHEMA_VERSION), **_huggingface_metadata()}
)
