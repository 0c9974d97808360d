"""Corpora in the JSON of labelling tools and benchmarks, valid and then changed."""

import random
from collections.abc import Callable
from typing import Any

from made_corpora import (
    Made,
    Marks,
    a_box,
    changed_document,
    image_files,
    json_bytes,
    put_at,
    put_in_records,
    some_images,
)

Document = Any
Builder = Callable[[list[str], random.Random, Marks], Document]


def coco(names: list[str], chance: random.Random, marks: Marks) -> Document:
    annotations = []
    for number in range(chance.randint(0, 6)):
        annotation: dict[str, Any] = {"id": number, "image_id": chance.randint(1, len(names))}
        annotation |= {"caption": marks.next()}
        if chance.random() < 0.85:
            box = list(a_box(chance))
            annotation |= {"bbox": box, "category_id": chance.randint(1, 2), "iscrowd": 0, "area": 1.5}
        if chance.random() < 0.3:
            annotation["segmentation"] = chance.choice(
                (
                    [[0, 0, 4, 0, 4, 4]],
                    {"size": [4, 4], "counts": [1, 3, 12]},
                    {"size": [4, 4], "counts": "13<"},
                )
            )
        annotations.append(annotation)
    return {
        "info": {},
        "images": [
            {"id": number, "file_name": name, "width": 100, "height": 80}
            for number, name in enumerate(names, 1)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog", "supercategory": "animal"}],
    }


def label_studio(names: list[str], chance: random.Random, marks: Marks) -> Document:
    def result() -> list[dict[str, Any]]:
        return [_ls_region(chance, marks, number) for number in range(chance.randint(0, 3))]

    return [
        {
            "id": number,
            "data": {"image": f"/data/upload/1/{name}"},
            "annotations": [
                {"id": 7, "result": result(), "was_cancelled": chance.random() < 0.1, "updated_at": "2024"}
                for _ in range(chance.choice((0, 1, 1, 1, 2)))
            ],
            "predictions": [{"result": result()}] if chance.random() < 0.2 else [],
        }
        for number, name in enumerate(names, 1)
    ]


def _ls_region(chance: random.Random, marks: Marks, number: int) -> dict[str, Any]:
    x, y, width, height = a_box(chance)
    frame = {"original_width": 100, "original_height": 80, "id": f"r{number}", "to_name": "image"}
    shapes = (
        ("rectanglelabels", {"x": x, "y": y, "width": width, "height": height, "rotation": 0}),
        ("polygonlabels", {"points": [[x, y], [x + width, y], [x, y + height]]}),
        ("ellipselabels", {"x": x, "y": y, "radiusX": 4, "radiusY": 3, "rotation": 5}),
        ("keypointlabels", {"x": x, "y": y, "width": 1}),
        ("brushlabels", {"format": "rle", "rle": [0, 0, 31, 64, 2, 64]}),
    )
    kind, value = chance.choice(shapes)
    return {**frame, "from_name": "label", "type": kind, "value": {**value, kind: [marks.next()]}}


def label_studio_min(names: list[str], chance: random.Random, marks: Marks) -> Document:
    def shape() -> dict[str, Any]:
        x, y, width, height = a_box(chance)
        box = {"x": x, "y": y, "width": width, "height": height, "rotation": 0}
        return {**box, "rectanglelabels": [marks.next()], "original_width": 100, "original_height": 80}

    return [
        {
            "id": number,
            "image": f"/data/upload/1/{name}",
            "label": [shape() for _ in range(chance.randint(1, 3))],
            "annotation_id": number,
            "annotator": 1,
        }
        for number, name in enumerate(names)
    ]


def labelme(names: list[str], chance: random.Random, marks: Marks) -> Document:
    shapes = []
    for _ in range(chance.randint(0, 4)):
        x, y, width, height = a_box(chance)
        kind = chance.choice(("rectangle", "polygon", "circle", "point", "linestrip"))
        points = [[x, y]] if kind == "point" else [[x, y], [x + width, y + height]]
        shapes.append({"label": marks.next(), "points": points, "shape_type": kind, "flags": {}})
    return {
        "version": "5.0",
        "shapes": shapes,
        "imagePath": names[0],
        "imageData": None,
        "imageWidth": 100,
        "imageHeight": 80,
    }


def via(names: list[str], chance: random.Random, marks: Marks) -> Document:
    def region() -> dict[str, Any]:
        x, y, width, height = a_box(chance)
        shapes = (
            {"name": "rect", "x": x, "y": y, "width": width, "height": height},
            {"name": "circle", "cx": x, "cy": y, "r": 4},
            {"name": "ellipse", "cx": x, "cy": y, "rx": 4, "ry": 2, "theta": 0.2},
            {"name": "polygon", "all_points_x": [x, x + 4, x], "all_points_y": [y, y, y + 3]},
            {"name": "point", "cx": x, "cy": y},
        )
        return {"shape_attributes": chance.choice(shapes), "region_attributes": {"label": marks.next()}}

    images = {
        f"{name}123": {
            "filename": name,
            "size": 123,
            "regions": [region() for _ in range(chance.randint(0, 3))],
            "file_attributes": {"caption": marks.next()},
        }
        for name in names
    }
    return {"_via_settings": {}, "_via_img_metadata": images} if chance.random() < 0.5 else images


def datumaro(names: list[str], chance: random.Random, marks: Marks) -> Document:
    def annotation() -> dict[str, Any]:
        kind = chance.choice(("bbox", "polygon", "caption", "points", "mask"))
        shape: dict[str, Any] = {"id": 0, "type": kind, "label_id": 0, "attributes": {"note": marks.next()}}
        if kind == "bbox":
            shape["bbox"] = list(a_box(chance))
        elif kind == "caption":
            shape["caption"] = shape.pop("attributes")["note"]
        elif kind == "mask":
            shape["rle"] = {"size": [4, 4], "counts": "13<"}
        else:
            shape["points"] = [1, 2, 9, 2, 5, 8]
        return shape

    items = [
        {
            "id": name.rpartition(".")[0],
            "annotations": [annotation() for _ in range(chance.randint(0, 3))],
            "image": {"path": name, "size": [80, 100]},
        }
        for name in names
    ]
    return {"info": {}, "categories": {"label": {"labels": [{"name": "cat"}]}}, "items": items}


def referring(names: list[str], chance: random.Random, marks: Marks) -> Document:
    return [
        {"image": name, "bbox": list(a_box(chance)), "sent": [marks.next(), marks.next()]}
        for name in names
        for _ in range(chance.randint(1, 2))
    ]


def youtube_vis(names: list[str], chance: random.Random, marks: Marks) -> Document:
    annotations = [
        {
            "id": number,
            "video_id": chance.randint(1, 2),
            "category_id": 1,
            "bboxes": [list(a_box(chance)) if chance.random() < 0.8 else None for _ in names],
            "caption": marks.next(),
        }
        for number in range(chance.randint(0, 3))
    ]
    return {
        "videos": [
            {"id": 1, "file_names": [f"v/{name}" for name in names], "width": 100, "height": 80, "length": 2},
            {"id": 2, "file_names": ["w/0.png", "w/1.png"], "width": 100, "height": 80},
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}],
    }


# The forms, and where their annotations are: marks elsewhere are no annotations.
FORMS: dict[str, tuple[Builder, tuple[str, ...]]] = {
    "COCO": (coco, ("annotations", "*")),
    "Label Studio": (label_studio, ("*", "annotations", "*", "result", "*", "value", "?")),
    "JSON-MIN": (label_studio_min, ("*", "label", "*")),
    "LabelMe": (labelme, ("shapes", "*")),
    "VIA": (via, ("*", "regions", "*")),
    "Datumaro": (datumaro, ("items", "*", "annotations", "*")),
    "referring": (referring, ("*",)),
    "YouTube-VIS": (youtube_vis, ("annotations", "*")),
}


def json_corpus(chance: random.Random) -> tuple[str, Made]:
    """A corpus with one such file, in a folder with its images."""
    form = chance.choice(list(FORMS))
    build, path = FORMS[form]
    names = some_images(chance)
    document = changed_document(build(names, chance, Marks()), chance)
    data, is_damaged = json_bytes(document, chance)
    if isinstance(document, dict) and "_via_img_metadata" in document:
        path = ("_via_img_metadata", *path)
    folder = {"YouTube-VIS": "v/"}.get(form, "")
    files = image_files([folder + name for name in names], chance)
    name = chance.choice(("labels.json", "instances_train.json", "x.json"))
    corpus = chance.choice(("", name))
    put = put_in_records(document) if form == "referring" else list(put_at(document, *path))
    return form, Made({name: data, **files}, corpus, put, is_damaged=is_damaged)
