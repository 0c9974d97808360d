"""Files of referring and counting benchmarks as corpora: one entry per image, phrases with their boxes."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from factories import encode, make_image

from fo1_data.corpus.readers import load_listing
from fo1_data.errors import CorpusError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "images" / name).write_bytes(encode(make_image(1)))
    return tmp_path


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def entries(address):
    return load_listing(address).entries


def meant(entry):
    boxes = [region.box_xyxy for region in entry.regions]
    return {phrase.text: [boxes[place] for place in phrase.region_indices] for phrase in entry.phrases}


def test_humanref_lines(folder):
    people = [[0, 0, 10, 20], [20, 0, 30, 20]]
    listing = write_lines(folder / "annotations_human.jsonl", [
        {"id": 0, "image_name": "a.png", "width": 64, "height": 48, "domain": "attribute",
         "referring": "the tall one", "answer_boxes": people[:1], "candidate_boxes": people},
        {"id": 1, "image_name": "a.png", "domain": "rejection", "referring": "a dog walker",
         "answer_boxes": [], "candidate_boxes": people},
        {"id": 2, "image_name": "b.png", "domain": "position", "referring": "left",
         "answer_boxes": [[1, 1, 5, 5]], "candidate_boxes": people},
    ])  # fmt: skip
    first, second = entries(listing)
    assert meant(first) == {"the tall one": [(0, 0, 10, 20)], "a dog walker": []}
    assert first.meta == {"phrase_kinds": {"the tall one": "attribute", "a dog walker": "rejection"}}
    assert (first.width, first.height, len(first.regions), len(second.regions)) == (64, 48, 2, 3)
    assert first.uri.endswith("images/a.png")


def test_referring_lines_in_either_form_of_box(folder):
    listing = write_lines(folder / "refs.jsonl", [
        {"image": "a.png", "bbox": [2, 3, 10, 20], "sent": "the left cat"},
        {"image": "a.png", "bbox": [2, 3, 10, 20], "sentences": [{"sent": "cat"}, {"sent": "grey one"}]},
        {"image": "a.png", "bbox_xyxy": [30, 3, 40, 20], "sent": "cat"},
        {"image": "b.png", "bbox": [1, 2, 3, 4], "bbox_format": "xyxy", "answer": ["that", "it"]},
    ])  # fmt: skip
    first, second = entries(listing)
    left = [(2, 3, 12, 23)]
    assert meant(first) == {"the left cat": left, "cat": [*left, (30, 3, 40, 20)], "grey one": left}
    assert len(first.regions) == 2
    assert meant(second) == {"that": [(1, 2, 3, 4)], "it": [(1, 2, 3, 4)]}


def test_coco_json_with_refs_and_in_the_form_of_mdetr(folder):
    images = [{"id": 7, "file_name": "a.png", "width": 64, "height": 48}]
    annotations = [{"id": 5, "image_id": 7, "bbox": [1, 2, 3, 4], "category_id": 1}]
    refs = [{"ref_id": 1, "image_id": 7, "ann_id": 5, "sentences": [{"sent": "the cup", "raw": "The cup"}]},
            {"ref_id": 2, "image_id": 99, "ann_id": 5, "sentences": [{"sent": "of nothing"}]}]  # fmt: skip
    document = {"images": images, "annotations": annotations, "categories": [], "refs": refs}
    (folder / "refcoco.json").write_text(json.dumps(document))
    listing = load_listing(str(folder / "refcoco.json"))
    assert meant(listing.entries[0]) == {"the cup": [(1, 2, 4, 6)]}
    assert len(listing.rejects) == 1
    captioned = [{**images[0], "dataset_name": "refcoco", "caption": "the cup", "original_id": 3}]
    (folder / "mdetr.json").write_text(json.dumps({**document, "refs": None, "images": captioned}))
    assert meant(entries(str(folder / "mdetr.json"))[0]) == {"the cup": [(1, 2, 4, 6)]}


ODD = [3, None, "x", [], {"a": 1}, float("nan")]


@pytest.mark.parametrize("part", ["refs", "images", "annotations"])
@pytest.mark.parametrize("odd", [ODD, {"id": 1}, 5, *([{"id": value, "image_id": value}] for value in ODD)])
def test_coco_json_with_wrong_types_gives_rejects(folder, part, odd):
    document = {
        "images": [{"id": 7, "file_name": "a.png", "dataset_name": "refcoco", "caption": "the cup"}],
        "annotations": [{"id": 5, "image_id": 7, "bbox": [1, 2, 3, 4]}],
        "refs": [{"image_id": 7, "ann_id": 5, "sentences": [{"sent": "the cup"}]}],
    }
    good = document[part]
    for number, broken in enumerate((odd, [*odd, *good] if isinstance(odd, list) else odd)):
        path = folder / f"{number}.json"
        path.write_text(json.dumps({**document, part: broken}))
        if part == "images" and not isinstance(broken, list):
            with pytest.raises(CorpusError, match="not a COCO file"):
                load_listing(str(path))
            continue
        listing = load_listing(str(path))
        assert "unaccounted" not in [reject.reason for reject in listing.rejects]
        if part == "refs" and isinstance(broken, list):
            assert len(listing.rejects) == len(odd)
            assert [len(entry.phrases) for entry in listing.entries] == [number]


def test_a_ref_that_is_not_an_object_is_named(folder):
    document = {"images": [], "annotations": [], "refs": [3, None]}
    (folder / "refs.json").write_text(json.dumps(document))
    first, second = load_listing(str(folder / "refs.json")).rejects
    assert (first.reason, first.uri) == ("bad_record", f"{folder}/refs.json#refs/0")
    assert second.uri.endswith("#refs/1")


def test_counts_too_large_for_a_dataset_are_rejects(folder):
    records = [
        {"image": "a.png", "count": 2**31 - 1, "label": "ant"},
        {"image": "b.png", "count": 3 * 10**9, "label": "ant"},
    ]
    (folder / "count.json").write_text(json.dumps(records))
    assert [reject.message for reject in load_listing(str(folder / "count.json")).rejects] == [
        f"{folder}/count.json#1: count: Input should be less than or equal to 2147483647"
    ]
    own = [{"image": "a.png", "counts": [{"text": "ant", "count": 3 * 10**9}]}]
    (reject,) = load_listing(write_lines(folder / "own.jsonl", own)).rejects
    assert "less than or equal to 2147483647" in reject.message


def test_counting_files(folder):
    records = [
        {"image": "a.png", "number": 6, "text": "Six red apples"},
        {"image": "a.png", "count": 0, "label": "pear"},
        {"image": "b.png", "count": "3", "noun": "dog"},
    ]
    (folder / "count.json").write_text(json.dumps(records))
    first, second = entries(str(folder / "count.json"))
    assert [(count.text, count.count) for count in first.counts] == [("red apples", 6), ("pear", 0)]
    assert [(count.text, count.count) for count in second.counts] == [("dog", 3)]
    assert first.regions is None


def test_a_parquet_file_of_addresses_and_counts(folder):
    rows = [{"image_url": "https://example.org/x.jpg", "label": "people", "count": 4}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "pixmo.parquet")
    (entry,) = entries(str(folder / "pixmo.parquet"))
    assert entry.uri == "https://example.org/x.jpg"
    assert (entry.counts[0].text, entry.counts[0].count) == ("people", 4)


def test_a_broken_record_is_a_reject_and_own_records_are_read_as_such(folder):
    listing = write_lines(folder / "refs.jsonl", [
        {"image": "a.png", "bbox": [2, 3, 10, 20], "sent": "cat"}, {"bbox": [1, 1, 2, 2], "sent": "no image"},
    ])  # fmt: skip
    listed = load_listing(listing)
    assert (len(listed.entries), [reject.reason for reject in listed.rejects]) == (1, ["bad_record"])
    own = write_lines(folder / "own.jsonl", [{"image": "a.png", "regions": [], "caption": "c", "count": 3}])
    assert entries(own)[0].meta == {"count": 3}
