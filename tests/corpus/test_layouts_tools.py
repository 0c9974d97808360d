"""Files of labelling tools: exact boxes in pixels of a 120 x 80 image, texts, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from layout_samples import boxes, listing_of, write

RECT = {"x": 100 / 6, "y": 25, "width": 100 / 3, "height": 50, "rotation": 0}
SIZE = {"original_width": 120, "original_height": 80, "image_rotation": 0}


def result(result_id: str, kind: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": result_id, "type": kind, "from_name": name, "to_name": "image", **SIZE, "value": value}


CAT = result("r1", "rectanglelabels", "label", {**RECT, "rectanglelabels": ["cat"]})


def task(
    *results: dict[str, Any], image: str = "/data/upload/1/0a1b2c3d-a.png", **more: Any
) -> dict[str, Any]:
    return {"id": 7, "data": {"image": image}, "annotations": [{"id": 1, "result": list(results)}], **more}


def test_label_studio(tmp_path: Path) -> None:
    results = [
        CAT,
        result("r1", "textarea", "transcription", {**RECT, "text": ["STOP"]}),
        result("r1", "textarea", "remark", {**RECT, "text": ["a sign"]}),
        result("r1", "choices", "state", {**RECT, "choices": ["worn"]}),
        result(
            "p1",
            "polygonlabels",
            "poly",
            {"points": [[25, 12.5], [75, 12.5], [75, 50]], "closed": True, "polygonlabels": ["bird"]},
        ),
        # Turned by 90 degrees about its corner, in pixels: 12 x 16 at (60, 40) lies to the left of it.
        result("r2", "rectangle", "box", {"x": 50, "y": 50, "width": 10, "height": 20, "rotation": 90}),
        result(
            "e1",
            "ellipselabels",
            "e",
            {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10, "ellipselabels": ["e"]},
        ),
        result("b1", "brushlabels", "brush", {"format": "rle", "rle": [1], "brushlabels": ["grass"]}),
        {"id": "c", "type": "choices", "from_name": "quality", "value": {"choices": ["good"]}},
        {"id": "t", "type": "textarea", "from_name": "caption", "value": {"text": ["a cat"]}},
    ]
    write(tmp_path, "images/a.png", "images/b.png", "images/c.png")
    empty = {"id": 8, "data": {"image": "/data/local-files/?d=set/b.png"}, "annotations": [{"result": []}]}
    new = {"id": 9, "data": {"image": "http://host/c.png?x=1", "source": "web"}, "annotations": []}
    (tmp_path / "export.json").write_text(json.dumps([task(*results), empty, new]))
    listing = listing_of(tmp_path)
    first, second, third = listing.entries
    assert boxes(first) == [(20, 20, 60, 60), (30, 10, 90, 40), (44, 40, 60, 52), (48, 32, 72, 48)]
    assert [region.label for region in first.regions or []] == ["cat", "bird", None, "e"]
    sign = (first.regions or [])[0]
    assert (sign.text, sign.caption, first.caption, first.width, first.height) == (
        "STOP",
        "a sign",
        "a cat",
        120,
        80,
    )
    assert first.meta is not None
    assert first.meta["quality"] == ["good"]
    assert first.meta["region_meta"][0] == {"id": "r1", "shape": "rectangle", "state": ["worn"]}
    assert first.meta["region_meta"][2]["rotation"] == 90
    assert (second.regions, third.regions, third.meta) == ([], None, {"source": "web"})
    assert [(reject.reason, "grass" in reject.message) for reject in listing.rejects] == [("not_a_box", True)]
    (source,) = listing.sources
    assert source.found == {"images": 3, "boxes": 5, "texts": 1, "captions": 2}
    assert source.rejected == {"boxes": 1}


def test_label_studio_with_the_size_of_the_image_at_one_of_its_regions(tmp_path: Path) -> None:
    """Regions that were imported have none, those that a person drew since have it."""
    write(tmp_path, "a.png")
    imported = {key: value for key, value in CAT.items() if key not in SIZE} | {"id": "r0"}
    (tmp_path / "export.json").write_text(json.dumps([task(imported, CAT)]))
    (entry,) = listing_of(tmp_path).entries
    assert boxes(entry) == [(20, 20, 60, 60)] * 2
    assert (entry.box_unit, entry.width, entry.height) == ("pixel", 120, 80)


def test_label_studio_with_several_annotations(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "b.png")
    other = result("r9", "rectanglelabels", "label", {**RECT, "x": 0, "rectanglelabels": ["dog"]})
    truth = {"id": 2, "ground_truth": True, "result": [CAT]}
    later = {"id": 3, "updated_at": "2030-01-01", "result": [other]}
    cancelled = {"id": 4, "was_cancelled": True, "result": [other, other]}
    predictions = [{"result": [other]}]
    tasks = [
        task(annotations=[truth, later, cancelled], predictions=predictions),
        {"id": 1, "data": {"image": "b.png"}, "annotations": [], "predictions": predictions},
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    listing = listing_of(tmp_path)
    assert [boxes(entry) for entry in listing.entries] == [[(20, 20, 60, 60)], None]
    assert [r.reason for r in listing.rejects] == [
        "other_annotation",
        "cancelled",
        "prediction",
        "prediction",
    ]


def test_label_studio_min(tmp_path: Path) -> None:
    write(tmp_path, "images/a.png", "images/b.png")
    shape = {**RECT, "original_width": 120, "original_height": 80}
    record = {
        "image": "/data/upload/1/0a1b2c3d-a.png",
        "id": 7,
        "bbox": [shape],
        "label": [{**shape, "rectanglelabels": ["cat"]}],
        "transcription": ["STOP"],
        "caption": "a cat",
        "quality": "good",
        "annotator": 1,
        "annotation_id": 1,
    }
    empty = {"image": "/data/upload/1/0a1b2c3e-b.png", "id": 8, "annotator": 1, "annotation_id": 2}
    (tmp_path / "min.json").write_text(json.dumps([record, empty]))
    for corpus in (tmp_path, tmp_path / "min.json"):
        listing = listing_of(corpus)
        first, second = listing.entries
        assert (boxes(first), second.regions, listing.rejects) == ([(20, 20, 60, 60)], [], [])
        region = (first.regions or [])[0]
        assert (region.label, region.text, first.caption) == ("cat", "STOP", "a cat")
        assert first.meta is not None
        assert first.meta["quality"] == "good"
        assert listing.sources[-1].found == {"images": 2, "boxes": 1, "texts": 1, "captions": 1}


def test_labelme(tmp_path: Path) -> None:
    write(tmp_path, "images/a.png", "images/b.png", "images/c.png")
    shapes = [
        {
            "label": "cat",
            "shape_type": "rectangle",
            "points": [[60, 60], [20, 20]],
            "description": "a cat",
            "group_id": 4,
        },
        {"label": "bird", "shape_type": "polygon", "points": [[70, 10], [100, 10], [85, 40]], "flags": {}},
        {"label": "ball", "shape_type": "circle", "points": [[50, 40], [53, 44]]},
        {"label": "eye", "shape_type": "point", "points": [[30, 30]]},
    ]
    document = {
        "version": "5.5.0", "flags": {"indoor": True}, "shapes": shapes, "imagePath": "..\\images\\a.png",
        "imageData": None, "imageHeight": 80, "imageWidth": 120,
    }  # fmt: skip
    (tmp_path / "json").mkdir()
    (tmp_path / "json/a.json").write_text(json.dumps(document))
    (tmp_path / "json/b.json").write_text(json.dumps({**document, "imagePath": "b.png", "shapes": []}))
    (tmp_path / "json/z.json").write_text(
        json.dumps({**document, "imagePath": "z.png", "shapes": shapes[:1]})
    )
    listing = listing_of(tmp_path)
    first, second, third = listing.entries
    assert boxes(first) == [(20, 20, 60, 60), (70, 10, 100, 40), (45, 35, 55, 45)]
    assert (first.regions or [])[0].caption == "a cat"
    assert first.meta == {
        "flags": {"indoor": True},
        "region_meta": [{"shape": "rectangle", "group_id": 4}, {"shape": "polygon"}, {"shape": "circle"}],
    }
    assert (second.regions, third.regions) == ([], None)
    assert {reject.reason for reject in listing.rejects} == {"not_a_box", "no_such_image"}
    assert listing_of(tmp_path / "json/a.json").entries == [first]


@pytest.mark.parametrize(
    ("points", "box"),
    [([[10, 20], [29, 39]], [(10, 20, 30, 40)]), ([[7, 8], [7, 8]], [(7, 8, 8, 9)]), ([[7, "x"]], [])],
)
def test_a_mask_of_labelme_holds_its_last_pixel(
    tmp_path: Path, points: list[Any], box: list[tuple[int, ...]]
) -> None:
    write(tmp_path, "a.png")
    shape = {"label": "sky", "shape_type": "mask", "points": points, "mask": "a picture"}
    (tmp_path / "a.json").write_text(json.dumps({"imagePath": "a.png", "shapes": [shape]}))
    assert boxes(listing_of(tmp_path).entries[0]) == box


VIA = {
    "a.png100": {
        "filename": "a.png",
        "size": 100,
        "regions": [
            {
                "shape_attributes": {"name": "rect", "x": 20, "y": 20, "width": 40, "height": 40},
                "region_attributes": {"type": "cat", "caption": "a cat", "pose": {"up": True, "left": False}},
            },
            {
                "shape_attributes": {
                    "name": "polygon", "all_points_x": [70, 100, 85], "all_points_y": [10, 10, 40],
                },
                "region_attributes": {"kind": "bird"},
            },
            {"shape_attributes": {"name": "point", "cx": 3, "cy": 3}, "region_attributes": {}},
        ],
        "file_attributes": {"caption": "a scene", "author": "x"},
    },
    "b.png100": {"filename": "b.png", "size": 100, "regions": [], "file_attributes": {}},
}  # fmt: skip


@pytest.mark.parametrize("form", ["project", "json", "csv"])
def test_via(tmp_path: Path, form: str) -> None:
    write(tmp_path, "a.png", "b.png", "c.png")
    if form == "csv":
        lines = [
            "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
        ]
        for image in VIA.values():
            shapes: Any = image["regions"] or [{"shape_attributes": {}, "region_attributes": {}}]
            for number, shape in enumerate(shapes):
                fields = [image["file_attributes"], shape["shape_attributes"], shape["region_attributes"]]
                about, geometry, said = ('"' + json.dumps(field).replace('"', '""') + '"' for field in fields)
                lines.append(f"{image['filename']},100,{about},{len(shapes)},{number},{geometry},{said}")
        (tmp_path / "via_csv.csv").write_text("\n".join(lines) + "\n")
    else:
        document = {"_via_settings": {}, "_via_img_metadata": VIA} if form == "project" else VIA
        (tmp_path / "via.json").write_text(json.dumps(document))
    listing = listing_of(tmp_path)
    first, second, third = listing.entries
    assert boxes(first) == [(20, 20, 60, 60), (70, 10, 100, 40)]
    assert [(r.label, r.caption) for r in first.regions or []] == [("cat", "a cat"), ("bird", None)]
    assert first.caption == "a scene"
    assert first.meta is not None
    assert first.meta["author"] == "x"
    assert first.meta["region_meta"][0]["pose"] == {"up": True, "left": False}
    assert (second.regions, third.regions) == ([], None)
    assert [reject.reason for reject in listing.rejects] == ["not_a_box"]
    assert listing.sources[0].found == {"images": 2, "boxes": 3, "captions": 2}


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><labels><label><name>cat</name></label></labels></task></meta>
<image id="0" name="sub/a.png" width="120" height="80">
 <box label="cat" occluded="1" source="manual" xtl="20" ytl="20" xbr="60" ybr="60" z_order="0">
  <attribute name="description">a cat</attribute><attribute name="age">3</attribute></box>
 <box label="dog" xtl="40" ytl="30" xbr="80" ybr="50" rotation="90"></box>
 <polygon label="bird" points="70,10;100,10;85,40"></polygon>
 <ellipse label="ball" cx="50" cy="40" rx="10" ry="5"></ellipse>
 <mask label="sky" rle="1,2" left="5" top="6" width="10" height="20"></mask>
 <skeleton label="body"><points label="1" points="10,10"/><points label="2" points="30,50"/></skeleton>
 <points label="eye" points="3,3"></points>
 <tag label="indoor"></tag>
</image>
<image id="1" name="b.png" width="120" height="80"></image>
<image id="2" name="gone.png" width="9" height="9"><box label="cat" xtl="1" ytl="1" xbr="2" ybr="2"/></image>
</annotations>"""


@pytest.mark.parametrize("alone", [False, True])
def test_cvat_for_images(tmp_path: Path, alone: bool) -> None:
    write(tmp_path, "images/b.png", "images/sub/a.png")
    (tmp_path / "annotations.xml").write_text(CVAT)
    listing = listing_of(tmp_path / "annotations.xml" if alone else tmp_path)
    first, second = sorted(listing.entries, key=lambda entry: len(entry.regions or []), reverse=True)
    assert first.uri.endswith("images/sub/a.png")
    assert boxes(first) == [
        (20, 20, 60, 60), (50, 20, 70, 60), (70, 10, 100, 40), (40, 35, 60, 45), (5, 6, 15, 26),
        (10, 10, 30, 50),
    ]  # fmt: skip
    assert (first.width, first.height, (first.regions or [])[0].caption) == (120, 80, "a cat")
    assert first.meta is not None
    assert first.meta["tags"] == ["indoor"]
    assert first.meta["region_meta"][0]["attributes"] == {"age": "3"}
    assert first.meta["region_meta"][1]["rotation"] == "90"
    assert second.regions == []
    assert {reject.reason for reject in listing.rejects} == {"not_a_box", "no_such_image"}
    assert listing.sources[0].found["boxes"] == 8


def test_the_label_of_a_cvat_shape_is_no_attribute_of_it(tmp_path: Path) -> None:
    write(tmp_path, "a.png")
    named = "".join(f'<attribute name="{name}">{name} 1</attribute>' for name in ("type", "label", "caption"))
    (tmp_path / "a.xml").write_text(
        '<annotations><image id="0" name="a.png" width="120" height="80">'
        f'<box label="car" xtl="1" ytl="1" xbr="9" ybr="9">{named}</box></image></annotations>'
    )
    (entry,) = listing_of(tmp_path).entries
    (region,) = entry.regions or []
    assert (region.label, region.caption) == ("car", "caption 1")
    assert (entry.meta or {})["region_meta"][0]["attributes"] == {"type": "type 1", "label": "label 1"}


def test_cvat_half_a_file_and_tracks(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "b.png")
    (tmp_path / "half.xml").write_text(CVAT[: CVAT.index('<image id="1"')].replace("sub/a.png", "a.png"))
    tracks = '<annotations><track id="0" label="cat"><box xtl="1"/><box/></track></annotations>'
    (tmp_path / "tracks.xml").write_text(tracks)
    listing = listing_of(tmp_path)
    assert [len(entry.regions or []) for entry in listing.entries] == [6, 0]
    assert {reject.reason for reject in listing.rejects} == {
        "not_a_box",
        "bad_xml",
        "no_such_frame",
        "no_video",
    }
    assert {source.source.rpartition("/")[2]: dict(source.rejected) for source in listing.sources}[
        "tracks.xml"
    ] == {"boxes": 2, "images": 1}


def test_datumaro(tmp_path: Path) -> None:
    write(tmp_path, "images/train/a.png", "images/val/a.png")
    annotations = [
        {
            "id": 1,
            "type": "bbox",
            "label_id": 1,
            "group": 1,
            "attributes": {"x": 1},
            "bbox": [20, 20, 40, 40],
        },
        {"type": "polygon", "label_id": 0, "points": [70, 10, 100, 10, 85, 40]},
        {"type": "caption", "caption": "a scene"},
        {"type": "label", "label_id": 0},
        {"type": "mask", "label_id": 0, "rle": {"counts": [0, 2, 4], "size": [3, 2]}},
        {"type": "points", "points": [1, 1]},
    ]
    document = {
        "infos": {},
        "categories": {"label": {"labels": [{"name": "bird"}, {"name": "cat"}], "attributes": []}},
        "items": [{"id": "a", "annotations": annotations, "image": {"path": "a.png", "size": [80, 120]}}],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/train.json").write_text(json.dumps(document))
    document["items"] = [{"id": "a", "annotations": [], "image": {"path": "a.png"}}]
    (tmp_path / "annotations/val.json").write_text(json.dumps(document))
    listing = listing_of(tmp_path)
    first, second = listing.entries
    assert boxes(first) == [(20, 20, 60, 60), (70, 10, 100, 40), (0, 0, 1, 2)]
    assert [region.label for region in first.regions or []] == ["cat", "bird", "bird"]
    assert (first.caption, first.width, first.height, second.regions) == ("a scene", 120, 80, [])
    assert first.meta is not None
    assert first.meta["labels"] == ["bird"]
    assert [reject.reason for reject in listing.rejects] == ["not_a_box"]


def test_open_images(tmp_path: Path) -> None:
    write(tmp_path, "data/0001.png", "data/0002.png", "data/0003.png")
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata/class-descriptions-boxable.csv").write_text(
        '/m/01yrx,Cat\n/m/015p6,"Bird, small"\n'
    )
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf"
    lines = [
        "0001,xclick,/m/01yrx,1,0.25,0.5,0.25,0.75,1,0,-1",
        "0002,xclick,/m/015p6,1,0,1,0,1,0,0,0",
        "0001,xclick,/m/015p6,1,0.5,0.75,0.125,0.5,0,0,1",
        "0009,xclick,/m/015p6,1,0,1,0,1,0,0,0",
    ]
    (tmp_path / "labels.csv").write_text("\n".join([header, *lines]))
    listing = listing_of(tmp_path)
    first, second, third = listing.entries
    assert boxes(first) == [(30, 20, 60, 60), (60, 10, 90, 40)]
    assert [region.label for region in first.regions or []] == ["Cat", "Bird, small"]
    assert first.meta is not None
    assert first.meta["region_meta"] == [{"IsOccluded": True}, {"IsGroupOf": True}]
    assert (boxes(second), third.regions) == ([(0, 0, 120, 80)], None)
    assert [reject.reason for reject in listing.rejects] == ["no_such_image"]
    assert "0009" in listing.rejects[0].message


@pytest.mark.parametrize("name", ["x.json", "x.csv"])
@pytest.mark.parametrize("text", ["", "{", "<a>", "a,b\n1,2\n"])
def test_a_file_that_is_none_of_these_is_one_line(tmp_path: Path, name: str, text: str) -> None:
    from fo1_data.corpus.readers import load_listing
    from fo1_data.errors import CorpusError

    (tmp_path / name).write_text(text)
    with pytest.raises(CorpusError) as caught:
        load_listing(str(tmp_path / name))
    assert "\n" not in str(caught.value)
