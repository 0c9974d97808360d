"""Files of labelling tools with any value replaced, removed or cut: a listing or one line of error."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from layout_samples import write
from test_layouts_folders import RECORDS, coco
from test_layouts_tools import CAT, CVAT, VIA, result, task

from fo1_data.corpus.readers import load_listing
from fo1_data.errors import CorpusError

LABEL_STUDIO = [
    task(CAT, result("t", "textarea", "caption", {"text": ["a cat"]}), {"type": "relation", "from_id": "r1"}),
    {"id": 8, "data": {"image": "b.png"}, "annotations": [], "predictions": [{"result": [CAT]}]},
]
MIN = [
    {
        "id": 1,
        "image": "a.png",
        "label": [{"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["cat"]}],
        "text": ["x"],
        "annotator": 1,
        "annotation_id": 1,
    }
]
LABELME = {
    "imagePath": "a.png",
    "imageHeight": 80,
    "imageWidth": 120,
    "flags": {},
    "shapes": [
        {"label": "ball", "shape_type": "circle", "points": [[50, 40], [53, 44]]},
        {"label": "cat", "shape_type": "rectangle", "points": [[60, 60], [20, 20]]},
    ],
}
DATUMARO = {
    "categories": {"label": {"labels": [{"name": "cat"}]}},
    "items": [
        {
            "id": "a",
            "image": {"path": "a.png", "size": [80, 120]},
            "annotations": [
                {"type": "bbox", "label_id": 0, "bbox": [1, 2, 3, 4]},
                {"type": "mask", "rle": {"counts": [0, 2, 4], "size": [3, 2]}},
                {"type": "caption", "caption": "a cat"},
            ],
        }
    ],
}
DOCUMENTS = {
    "label-studio": LABEL_STUDIO,
    "min": MIN,
    "labelme": LABELME,
    "via": VIA,
    "datumaro": DATUMARO,
    "coco": json.loads(coco("a.png")),
    "records": RECORDS,
}
VALUES: list[Any] = [
    None,
    True,
    -1,
    1e400,
    float("nan"),
    "",
    "a.png",
    "\ud800",
    [],
    {},
    [[]],
    [{}],
    {"a": 1},
    10**400,
]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a document with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in [(value, key), *places(value[key])]]


def check(folder: Path) -> None:
    try:
        listing = load_listing(str(folder))
    except CorpusError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert not [reject for reject in listing.rejects if reject.reason == "unaccounted"]
        assert sum(source.found.get("images", 0) for source in listing.sources) >= 1


@pytest.mark.parametrize("name", DOCUMENTS)
def test_any_value_may_be_wrong(tmp_path: Path, name: str) -> None:
    write(tmp_path, "a.png", "b.png")
    count = len(places(DOCUMENTS[name]))
    randomly = random.Random(0)
    for number in range(count):
        for value in randomly.sample(VALUES, 5):
            document = copy.deepcopy(DOCUMENTS[name])
            container, key = places(document)[number]
            container[key] = value
            (tmp_path / "x.json").write_text(json.dumps(document))
            check(tmp_path)


def test_any_part_of_xml_may_be_wrong(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "b.png")
    randomly = random.Random(0)
    for _ in range(60):
        start = randomly.randrange(len(CVAT))
        text = CVAT[:start] + randomly.choice(["", "nan", '"', "<image>", "x,y"]) + CVAT[start + 7 :]
        (tmp_path / "x.xml").write_text(text)
        check(tmp_path)
