"""Boxes of the corpus and of files are all kept, in order; detections are filtered."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fo1_data.boxes import as_boxes, iou_matrix
from fo1_data.errors import ConfigError, CorpusError
from fo1_data.proposals.corpus_boxes import AutoBoxes, proposer_of
from fo1_data.proposals.detections import Detections
from fo1_data.proposals.detector_boxes import DetectorBoxes, select_boxes
from fo1_data.proposals.load import load_proposer
from schemas.corpus import CorpusImage, CorpusPhrase, CorpusRegion

IMAGE = Image.new("RGB", (100, 80))


def with_boxes(count: int, uri: str = "/x.jpg") -> CorpusImage:
    regions = [CorpusRegion(box_xyxy=(i % 50, 0, i % 50 + 5, 5), label=str(i)) for i in range(count)]
    return CorpusImage(uri=uri, regions=regions)


class FixedDetector:
    sha256, licence = "f" * 64, "MIT"
    default_score_floor, default_nms_iou = 0.5, 0.5

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def detect(self, images: list[Image.Image], words: Sequence[Sequence[str]]) -> list[Detections]:
        self.batch_sizes.append(len(images))
        boxes = as_boxes([(0, 0, 10, 10), (0, 0, 10, 11), (50, 50, 300, 300), (5, 5, 5, 9), (60, 0, 70, 9)])
        scores = np.array([0.6, 0.9, 0.7, 0.99, 0.4], np.float32)
        return [Detections(boxes, scores, ["cat", "dog", "kite", "line", "cup"]) for _ in images]


def test_boxes_of_the_corpus_are_all_kept() -> None:
    proposer = load_proposer("corpus")
    entries = [with_boxes(250), CorpusImage(uri="/none")]
    first, second = proposer.propose([IMAGE] * 2, proposer.attach_boxes(entries))
    assert [region.label for region in first.regions or []] == [str(i) for i in range(250)]
    assert (first.boxes_xyxy.shape, first.boxes_xyxy.dtype, first.objectness) == ((250, 4), np.float32, None)
    assert (second.boxes_xyxy.shape, second.regions) == ((0, 4), [])
    assert not proposer.detects


def test_auto_detects_if_the_corpus_lists_no_boxes() -> None:
    detector = FixedDetector()
    proposer = AutoBoxes(DetectorBoxes("fixed", detector, None, None, 100))
    unlisted, empty, listed = CorpusImage(uri="/a"), CorpusImage(uri="/b", regions=[]), with_boxes(3)
    proposed = proposer.propose([IMAGE] * 4, [unlisted, empty, listed, unlisted])
    assert [len(proposals.boxes_xyxy) for proposals in proposed] == [2, 0, 3, 2]
    assert [proposals.regions is None for proposals in proposed] == [True, False, False, True]
    assert detector.batch_sizes == [2]
    proposer.propose([IMAGE], [listed])
    assert detector.batch_sizes == [2]
    assert (proposer.licence, proposer.sha256) == ("MIT", "f" * 64)


def test_detections_are_thinned_out() -> None:
    (kept,) = DetectorBoxes("fixed", FixedDetector(), None, None, 100).propose([IMAGE], [with_boxes(0)])
    assert kept.boxes_xyxy.tolist() == [[0, 0, 10, 11], [50, 50, 100, 80]]
    assert kept.objectness is not None
    assert np.allclose(kept.objectness, [0.9, 0.7])
    assert kept.labels == ["dog", "kite"]
    (low,) = DetectorBoxes("fixed", FixedDetector(), 0.1, 1.0, 3).propose([IMAGE], [with_boxes(0)])
    assert low.boxes_xyxy[:, 2].tolist() == [10, 100, 10]


@settings(deadline=None)  # the first call imports torch
@given(st.integers(0, 400), st.integers(0, 50), st.floats(0.1, 1.0), st.floats(0, 1), st.integers(1, 100))
def test_selected_boxes_are_in_order_apart_and_few(
    count: int, seed: int, nms_iou: float, floor: float, most: int
) -> None:
    rng = np.random.default_rng(seed)
    boxes = as_boxes(rng.uniform(-20, 120, (count, 4)))
    scores = rng.choice(np.linspace(0, 1, 11), count).astype(np.float32)
    selected = select_boxes(Detections(boxes, scores), (100, 80), floor, nms_iou, max_proposals=most)
    kept = selected.boxes_xyxy
    assert len(kept) == len(selected.objectness) <= most
    assert (np.diff(selected.objectness) <= 0).all()
    assert (selected.objectness >= np.float32(floor)).all()
    overlaps = iou_matrix(kept, kept) - np.eye(len(kept), dtype=np.float32)
    assert (overlaps <= nms_iou + 1e-5).all()


# --- a file


def file_of(folder: Path, records: list[dict[str, object]], suffix: str) -> str:
    path = folder / f"boxes{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    return str(path)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("form", ["boxes", "regions", "single boxes"])
def test_a_file_of_boxes(tmp_path: Path, suffix: str, form: str) -> None:
    boxes = [[9.0, 0.0, 20.0, 5.0], [1.0, 0.0, 2.0, 5.0]]
    records: list[dict[str, object]] = {
        "boxes": [{"image": "a.jpg", "boxes": boxes, "width": 100, "height": 80, "note": "a\u2028b"}],
        "regions": [{"file_name": "a.jpg", "regions": [{"box_xyxy": box, "label": "x"} for box in boxes]}],
        "single boxes": [
            {"image": "dir/a.jpg", "box_xyxy": box, "label": "x", "score": 0.3} for box in boxes
        ],
    }[form]
    proposer = load_proposer(file_of(tmp_path, records, suffix))
    entries = proposer.attach_boxes([with_boxes(7, "/some/dir/a.jpg"), with_boxes(7, "/b.jpg")])
    first, second = proposer.propose([IMAGE] * 2, entries)
    assert first.boxes_xyxy.tolist() == boxes
    assert [region.label for region in first.regions or []] == (
        [None, None] if form == "boxes" else ["x", "x"]
    )
    assert len(second.boxes_xyxy) == 0
    assert entries[0].width == (100 if form == "boxes" else None)
    assert not proposer.detects


def test_phrases_do_not_point_into_other_boxes(tmp_path: Path) -> None:
    proposer = load_proposer(file_of(tmp_path, [{"image": "x.jpg", "boxes": [[0, 0, 1, 1]]}], ".jsonl"))
    entry = with_boxes(3).model_copy(update={"phrases": [CorpusPhrase(text="cat", region_indices=[2])]})
    assert proposer.attach_boxes([entry])[0].phrases == [CorpusPhrase(text="cat")]


def test_the_file_is_part_of_the_identity(tmp_path: Path) -> None:
    first = load_proposer(file_of(tmp_path, [{"image": "x", "boxes": []}], ".jsonl")).sha256
    assert first != load_proposer(file_of(tmp_path, [{"image": "y", "boxes": []}], ".jsonl")).sha256


@pytest.mark.parametrize("text", ["{", "7", '{"boxes": []}', '{"image": "x"}', '{"image": "x", "boxes": 3}'])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"image": "y", "boxes": []}\n' + text)
    with pytest.raises(ConfigError, match=r"x\.jsonl:2") as caught:
        load_proposer(str(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(CorpusError, match="cannot read"):
        load_proposer(str(tmp_path / "none.jsonl"))


def test_an_image_names_what_gave_its_own_boxes() -> None:
    listed = CorpusImage(uri="a.png", regions=[])
    unlisted = CorpusImage(uri="b.png")
    assert proposer_of("auto (fo1-tiny)", listed) == "corpus"
    assert proposer_of("auto (fo1-tiny)", unlisted) == "fo1-tiny"
    assert proposer_of("fo1-tiny", listed) == "fo1-tiny"
