"""Corpora that fuzzing made go wrong (`make fuzz`): what they say is listed, or rejected with its reason."""

import json
from pathlib import Path
from typing import Any

import pytest
from corpus_samples import write_tar

from fo1_data.corpus.listing import Listing
from fo1_data.corpus.readers import load_listing
from schemas.corpus import CorpusImage
from schemas.sources import ContentKind

BOX = {"box_xyxy": [1, 2, 3, 4], "label": "cat"}


def listed(folder: Path, name: str, text: str, corpus: str | None = None) -> Listing:
    (folder / "a.png").write_bytes(b"not opened")
    (folder / name).write_text(text)
    return load_listing(str(folder / corpus if corpus is not None else folder / name))


def reasons(listing: Listing) -> list[str]:
    return [reject.reason for reject in listing.rejects]


@pytest.mark.parametrize("regions", ["[{box", {"box_xyxy": [1, 2, 3, 4]}, 7, ""])
def test_regions_that_are_no_list_refuse_their_record(tmp_path: Path, regions: Any) -> None:
    """The letters of a text were boxes, and the account could not be closed."""
    text = json.dumps({"image": "a.png", "regions": regions})
    listing = listed(tmp_path, "list.jsonl", text)
    assert reasons(listing) == ["bad_record"]
    assert "regions is not a list" in listing.rejects[0].message


def test_regions_of_a_cell_that_is_not_json_refuse_their_row(tmp_path: Path) -> None:
    listing = listed(tmp_path, "metadata.csv", 'file_name,regions\na.png,"[{box"\n')
    assert reasons(listing) == ["bad_record"]


@pytest.mark.parametrize("tag", ["annotation", "annotations"])
@pytest.mark.parametrize("encoding", ["no-such", "gb2312"])
def test_xml_of_an_unknown_encoding_is_a_reject(tmp_path: Path, tag: str, encoding: str) -> None:
    listing = listed(tmp_path, "a.xml", f'<?xml version="1.0" encoding="{encoding}"?><{tag}/>', corpus="")
    assert [entry.uri for entry in listing.entries] == [str(tmp_path / "a.png")]
    assert set(reasons(listing)) <= {"bad_xml", "bad_record"}
    assert listing.rejects


def test_csv_whose_first_line_has_a_lone_return_is_listed(tmp_path: Path) -> None:
    listing = listed(tmp_path, "x.csv", "a\rb,c\n1,2\n", corpus="")
    assert [Path(entry.uri).name for entry in listing.entries] == ["a.png", "x.csv"]


def test_a_cell_that_is_too_long_for_csv_is_a_reject(tmp_path: Path) -> None:
    text = f"file_name,caption\na.png,one\na.png,{'x' * 200_000}\n"
    listing = listed(tmp_path, "metadata.csv", text)
    assert reasons(listing) == ["bad_csv"]
    assert [entry.caption for entry in listing.entries] == ["one"]


def test_values_beyond_the_header_are_kept(tmp_path: Path) -> None:
    listing = listed(tmp_path, "metadata.csv", "file_name\na.png,a cat,7\n")
    assert listing.entries[0].meta == {"columns_without_a_name": ["a cat", "7"]}


@pytest.mark.parametrize("name", ["a\0b.png", "a\0b", "a\0b.dcm", "a\0b.mp4"])
def test_a_name_with_a_null_character_ends_no_listing(tmp_path: Path, name: str) -> None:
    listing = listed(tmp_path, "list.jsonl", json.dumps({"image": name}) + '\n{"image": "a.png"}')
    assert str(tmp_path / "a.png") in [entry.uri for entry in listing.entries]


@pytest.mark.parametrize("order", [("txt", "json"), ("json", "txt")])
def test_a_caption_beside_a_record_is_kept_in_any_order(tmp_path: Path, order: tuple[str, str]) -> None:
    texts = {"txt": b"beside", "json": json.dumps({"caption": "inside", "regions": [BOX]}).encode()}
    write_tar(tmp_path / "x.tar", [("1.jpg", b""), *((f"1.{kind}", texts[kind]) for kind in order)])
    (entry,) = load_listing(str(tmp_path / "x.tar")).entries
    assert (entry.meta or {})["captions"] == ["inside", "beside"]


def test_a_class_beside_a_record_is_kept_in_any_order(tmp_path: Path) -> None:
    record = json.dumps({"meta": {"url": "u"}}).encode()
    write_tar(tmp_path / "x.tar", [("1.jpg", b""), ("1.cls", b"cat"), ("1.json", record)])
    (entry,) = load_listing(str(tmp_path / "x.tar")).entries
    assert entry.meta == {"url": "u", "cls": "cat"}


def test_a_caption_of_datumaro_without_its_text_is_kept_as_it_is(tmp_path: Path) -> None:
    annotation = {"type": "caption", "captions": "a cat"}
    item = {"id": "a", "annotations": [annotation], "image": {"path": "a.png"}}
    listing = listed(tmp_path, "x.json", json.dumps({"categories": {}, "items": [item]}))
    assert listing.entries[0].meta == {"annotations": [annotation]}


def phrases_of(entry: CorpusImage) -> list[str]:
    return [phrase.text for phrase in entry.phrases]


def test_an_expression_that_is_no_text_is_a_reject_of_its_own(tmp_path: Path) -> None:
    record = {"image": "a.png", "bbox": [1, 2, 3, 4], "sent": ["left cat", {"value": "right cat"}]}
    listing = listed(tmp_path, "x.json", json.dumps([record]))
    assert phrases_of(listing.entries[0]) == ["left cat"]
    assert reasons(listing) == ["bad_expression"]
    assert listing.sources[0].rejected == {ContentKind.PHRASES: 1}


def test_a_sentence_of_refcoco_that_is_no_text_is_a_reject_of_its_own(tmp_path: Path) -> None:
    document = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 2, "image_id": 1, "bbox": [1, 2, 3, 4]}],
        "refs": [{"image_id": 1, "ann_id": 2, "sentences": [{"sent": "left"}, {"words": "right"}]}],
    }
    listing = listed(tmp_path, "x.json", json.dumps(document))
    assert phrases_of(listing.entries[0]) == ["left"]
    assert listing.sources[0].rejected == {ContentKind.PHRASES: 1}


def test_an_attribute_of_via_that_is_no_check_box_keeps_its_text(tmp_path: Path) -> None:
    shape = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}
    region = {"shape_attributes": shape, "region_attributes": {"label": {"value": "cat", "seen": True}}}
    document = {"a": {"filename": "a.png", "regions": [region]}}
    listing = listed(tmp_path, "x.json", json.dumps(document))
    assert [region.label for region in listing.entries[0].regions or []] == ["value: cat, seen"]


def test_tracks_that_are_not_json_are_a_reject(tmp_path: Path) -> None:
    listing = listed(tmp_path, "tracks.jsonl", '{"video": "v", "tracks": [', corpus="")
    assert reasons(listing) == ["bad_json"]


@pytest.mark.parametrize("size", [[0, 4], [-4, 4]])
def test_a_mask_of_no_height_has_no_box(tmp_path: Path, size: list[int]) -> None:
    annotation = {"id": 2, "image_id": 1, "segmentation": {"size": size, "counts": [1, 3]}}
    document = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [annotation]}
    (entry,) = listed(tmp_path, "x.json", json.dumps(document)).entries
    assert [str(value) for value in (entry.regions or [])[0].box_xyxy] == ["nan"] * 4


def test_json_that_is_nested_too_deeply_ends_no_listing(tmp_path: Path) -> None:
    deep = "[" * 5000 + "]" * 5000
    listing = listed(tmp_path, "metadata.csv", f'file_name,note\na.png,"{deep}"\n')
    assert (listing.entries[0].meta or {})["note"] == deep


def test_annotations_of_datumaro_that_are_no_list_are_kept_as_they_are(tmp_path: Path) -> None:
    item = {"id": "a", "annotations": {"note": "x"}, "image": {"path": "a.png"}}
    listing = listed(tmp_path, "x.json", json.dumps({"categories": {}, "items": [item]}))
    assert listing.entries[0].meta == {"annotations": {"note": "x"}}


def test_an_annotation_of_coco_that_says_nothing_of_no_image_is_a_reject(tmp_path: Path) -> None:
    document = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"value": {"image_id": 1}}]}
    listing = listed(tmp_path, "x.json", json.dumps(document))
    assert reasons(listing) == ["unknown_annotation"]


@pytest.mark.parametrize("corpus", [None, ""])
def test_a_name_with_half_a_surrogate_pair_names_no_image(tmp_path: Path, corpus: str | None) -> None:
    document = {"imagePath": "a\ud800.png", "shapes": []}
    listing = listed(tmp_path, "x.json", json.dumps(document), corpus)
    assert reasons(listing) == ["no_such_image"]
    assert all(reject.model_dump_json() for reject in listing.rejects)


def test_a_declared_size_of_hundreds_of_digits_is_none(tmp_path: Path) -> None:
    text = json.dumps({"image": "a.png", "width": 10**400, "height": 80, "regions": [BOX]})
    assert listed(tmp_path, "list.jsonl", text).entries[0].width is None


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("x.json", {"imagePath": "a.png", "shapes": [{"points": [[1, 2], [3, 4]], "lebal": "cat"}]}),
        (
            "x.json",
            {
                "a": {
                    "filename": "a.png",
                    "regions": [
                        {
                            "shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4},
                            "lebal": "cat",
                        }
                    ],
                }
            },
        ),
        (
            "x.json",
            {
                "categories": {},
                "items": [
                    {
                        "id": "a",
                        "annotations": [{"type": "bbox", "bbox": [1, 2, 3, 4], "lebal": "cat"}],
                        "image": {"path": "a.png"},
                    }
                ],
            },
        ),
    ],
    ids=["LabelMe", "VIA", "Datumaro"],
)
def test_fields_of_a_shape_that_are_not_read_are_kept(tmp_path: Path, name: str, document: Any) -> None:
    (entry,) = listed(tmp_path, name, json.dumps(document)).entries
    assert (entry.meta or {})["region_meta"][0]["lebal"] == "cat"


def test_a_note_with_half_a_surrogate_pair_can_be_stored(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "cat"}, {"id": 1, "name": "\ud800"}]
    document = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": categories}
    listing = listed(tmp_path, "x.json", json.dumps(document))
    assert listing.sources[0].notes
    assert all(source.model_dump_json() for source in listing.sources)


def test_annotations_of_youtube_vis_that_are_no_list_are_a_reject(tmp_path: Path) -> None:
    document = {"videos": [{"id": 1, "file_names": ["v/0.png"]}], "annotations": {"video_id": 1}}
    listing = listed(tmp_path, "x.json", json.dumps(document))
    assert "x.json#annotations: is not a list" in " ".join(reject.message for reject in listing.rejects)


@pytest.mark.parametrize("width", [10**400, 2**63, 1e308, -5, 0])
def test_a_size_that_no_video_has_is_none(tmp_path: Path, width: float) -> None:
    record = {"video": "v", "width": width, "height": 80, "fps": 10, "num_frames": 2, "tracks": []}
    (tmp_path / "v").mkdir()
    for number in range(2):
        (tmp_path / "v" / f"{number:03d}.png").write_bytes(b"not opened")
    listing = listed(tmp_path, "tracks.jsonl", json.dumps(record))
    assert [entry.width for entry in listing.entries] == [None] * len(listing.entries)
    assert listing.entries


def test_a_video_whose_name_no_file_can_have_is_not_there(tmp_path: Path) -> None:
    record = {"video": "\ud800", "width": 100, "height": 80, "fps": 10, "num_frames": 2, "tracks": []}
    listing = listed(tmp_path, "tracks.jsonl", json.dumps(record))
    assert reasons(listing) == ["no_video"]
