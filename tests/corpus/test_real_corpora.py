"""The real corpora: counts as in their index, and original formats equal to our own form."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.frames import oriented_entry
from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.corpus.readers import load_listing
from schemas.corpus import CorpusImage

# images, regions as written, boxes of no area within their image
COUNTS = {
    "nlvr": (498, 4458, 0),
    "bccd": (292, 3943, 2),
    "coco_mini": (99, 739, 0),
    "coco128": (128, 929, 0),
    "ferret_vg": (19, 586, 0),
    "psg_relations": (50, 100, 0),
    "sroie": (36, 1941, 0),
    "scene_text": (11, 148, 0),
    "raccoon": (160, 173, 0),
    "cards": (110, 201, 0),
    "deepforest": (11, 194, 0),
    "bad_inputs": (71, 0, 0),
}


def entries_of(corpus: Path) -> list[CorpusImage]:
    listing = load_listing(str(corpus))
    assert not listing.rejects
    return listing.entries


def stem(entry: CorpusImage) -> str:
    return Path(entry.uri).stem


def boxes(entry: CorpusImage) -> list[tuple[str | None, list[float]]]:
    return [(region.label, list(region.box_xyxy)) for region in entry.regions or []]


@pytest.mark.parametrize("name", COUNTS)
def test_every_corpus_lists_its_images(name: str, corpora: Path) -> None:
    entries = entries_of(corpora / name)
    assert (len(entries), sum(len(entry.regions or []) for entry in entries)) == COUNTS[name][:2]
    assert all(Path(entry.uri).is_file() for entry in entries)
    lines = [json.loads(line) for line in (corpora / name / "annotations.jsonl").read_text().splitlines()]
    for entry, line in zip(entries, lines, strict=True):
        assert (entry.caption, entry.width) == (line["caption"], line["width"])
        assert [list(r.box_xyxy) for r in entry.regions or []] == [r["box_xyxy"] for r in line["regions"]]
        assert [(r.label, r.caption) for r in entry.regions or []] == [
            (r["label"], r["caption"] or None) for r in line["regions"]
        ]
        assert set(line.get("meta") or {}) <= set(entry.meta or {})


@pytest.mark.parametrize(
    "name", ["bccd", "ferret_vg", "raccoon", "deepforest", "psg_relations", "scene_text"]
)
def test_bad_boxes_are_few_and_have_reasons(name: str, corpora: Path) -> None:
    limits = InputLimits()
    bad, kept = [], 0
    for entry in entries_of(corpora / name):
        image = decode_rgb(read_bytes(entry, limits), limits)
        assert image.stored_wh == (entry.width, entry.height)
        turned, rejects = oriented_entry(entry, image, "auto")
        bad += rejects
        kept += len(turned.regions or [])
        for region in turned.regions or []:
            left, top, right, bottom = region.box_xyxy
            assert 0 <= left < right <= image.width
            assert 0 <= top < bottom <= image.height
    assert len(bad) == COUNTS[name][2]
    assert len(bad) + kept == COUNTS[name][1]


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("bccd", "original"),
        ("bccd", "original/Annotations"),
        ("raccoon", "original"),
        ("raccoon", "original/annotations"),
    ],
)
def test_voc_equals_our_form(name: str, original: str, corpora: Path) -> None:
    ours = {stem(entry): entry for entry in entries_of(corpora / name)}
    originals = entries_of(corpora / name / original)
    assert len(originals) == len(ours)
    for original in originals:
        assert Path(original.uri).is_file()
        entry = ours[stem(original)]
        assert boxes(original) == boxes(entry)
        if name == "bccd":
            assert (original.width, original.height) == (entry.width, entry.height)


def test_voc_of_cards_in_the_folder_of_its_images(corpora: Path, tmp_path: Path) -> None:
    for path in (corpora / "cards/original/train").glob("*.xml"):
        (tmp_path / path.name).symlink_to(path)
    for path in (corpora / "cards/images").iterdir():
        (tmp_path / path.name.removeprefix("train_")).symlink_to(path)
    ours = {stem(entry).removeprefix("train_"): entry for entry in entries_of(corpora / "cards")}
    originals = entries_of(tmp_path)
    assert len(originals) == 110
    for original in originals:
        assert Path(original.uri).is_file()
        assert boxes(original) == boxes(ours[stem(original)])


def test_coco_equals_our_form(corpora: Path, tmp_path: Path) -> None:
    (tmp_path / "annotations").symlink_to(corpora / "coco_mini/original/annotations")
    (tmp_path / "train2017").mkdir()
    for path in (corpora / "coco_mini/images").iterdir():
        (tmp_path / "train2017" / path.name.removeprefix("train2017_")).symlink_to(path)
    ours = {stem(entry).removeprefix("train2017_"): entry for entry in entries_of(corpora / "coco_mini")}
    instances = entries_of(tmp_path / "annotations/instances_train2017.json")
    captions = entries_of(tmp_path / "annotations/captions_train2017.json")
    assert len(instances) == len(captions) == 80
    for original, captioned in zip(instances, captions, strict=True):
        assert Path(original.uri).is_file()
        entry = ours[stem(original)]
        assert (original.width, original.height) == (entry.width, entry.height)
        assert [label for label, _ in boxes(original)] == [label for label, _ in boxes(entry)]
        differences = [
            np.abs(np.subtract(a, b)).max()
            for (_, a), (_, b) in zip(boxes(original), boxes(entry), strict=True)
        ]
        assert max(differences, default=0.0) <= 0.0051
        assert [text.strip() for text in (captioned.meta or {})["captions"]] == (entry.meta or {})["captions"]
        assert captioned.regions is None


def test_yolo_equals_our_form(corpora: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").symlink_to(corpora / "coco128/original/labels")
    (tmp_path / "images/train2017").mkdir(parents=True)
    for path in (corpora / "coco128/images").iterdir():
        (tmp_path / "images/train2017" / path.name.removeprefix("train2017_")).symlink_to(path)
    ours = {stem(entry).removeprefix("train2017_"): entry for entry in entries_of(corpora / "coco128")}
    originals = entries_of(tmp_path)
    assert len(originals) == 128
    assert sum(original.regions == [] for original in originals) == 2
    classes: dict[str | None, str | None] = {}
    limits = InputLimits()
    for original in originals:
        entry = ours[stem(original)]
        with Image.open(original.uri) as opened:
            assert opened.size == (entry.width, entry.height)
        image = decode_rgb(read_bytes(original, limits), limits)
        pixels, rejects = oriented_entry(original, image, "auto")
        assert not rejects
        expected, _ = oriented_entry(entry, image, "auto")
        for (index, box), (label, same) in zip(boxes(pixels), boxes(expected), strict=True):
            assert np.abs(np.subtract(box, same)).max() <= 0.0151
            assert classes.setdefault(index, label) == label
    assert classes["0"] == "person"
    assert len(classes) == len(set(classes.values()))


def test_coco_of_deepforest(corpora: Path) -> None:
    originals = entries_of(corpora / "deepforest/original/coco_sample_file.json")
    assert [len(original.regions or []) for original in originals] == [1, 5]
    assert all(Path(original.uri).is_file() for original in originals)
