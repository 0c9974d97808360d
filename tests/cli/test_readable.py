"""A command's document as text for people."""

from fo1_data.cli.readable import readable

DOCUMENT = {
    "dataset": "runs/first",
    "parent": None,
    "captions": {"compared": 120, "right": 0.91666667, "by_kind": {}, "note": None},
    "splits": {
        "train": {"files": 4, "rows": 12345, "bytes": None},
        "test": {"files": 1, "rows": 30, "bytes": None},
    },
    "confidence": {"brief_caption": {"auroc": 0.9, "curve": [{"coverage": 0.5, "risk": 0.125}]}},
    "missing": {"images": 0, "names": []},
    "text": {"num": 0, "rate": None},
    "equal": True,
}


def test_figures_are_aligned_and_what_does_not_apply_is_left_out() -> None:
    text = readable(DOCUMENT)
    lines = text.splitlines()
    assert lines[:2] == ["dataset  runs/first", "equal    yes"]
    assert "captions" in lines
    assert "  compared  120" in lines
    assert "  right     0.9167" in lines
    for absent in (
        "parent",
        "by kind",
        "note",
        "bytes",
        "names",
        "missing",
        "text",
        "null",
        "None",
        "{",
        "}",
    ):
        assert absent not in text


def test_documents_alike_are_a_table() -> None:
    lines = readable(DOCUMENT).splitlines()
    (header,) = [line for line in lines if "files" in line]
    assert header.split() == ["files", "rows"]
    assert ["train", "4", "12,345"] in [line.split() for line in lines]
    assert ["test", "1", "30"] in [line.split() for line in lines]


def test_a_list_of_records_is_a_table_under_its_heading() -> None:
    lines = readable(DOCUMENT).splitlines()
    assert "confidence: brief caption: curve" in lines
    assert ["1", "0.5", "0.125"] in [line.split() for line in lines]


def test_of_very_many_figures_the_first_are_shown() -> None:
    for num, shown in ((20, 20), (21, 8)):
        classes = {f"class {number:02}": number / 100 for number in range(num)}
        lines = readable({"detections": {"map": 0.5, "per_class": classes}}).splitlines()
        assert sum(line.startswith("  class ") for line in lines) == shown
        assert ("  and 13 more: see --json" in lines) == (num > shown)


def test_a_member_of_zeros_alone_does_not_part_documents_that_are_alike() -> None:
    none = {"num": 0, "wrong": 0, "error": None}
    kinds = {"detect": {"num": 4, "accepted": none}, "ocr": {"num": 2, "accepted": none}}
    lines = readable({"confidence": {"kinds": kinds}}).splitlines()
    assert [line.split() for line in lines if line.startswith(("detect", "ocr"))] == [
        ["detect", "4"],
        ["ocr", "2"],
    ]
    nothing_right = {"detect": {"precision": 0.0}, "ground": {"precision": 0.5}}
    assert any(line.split() == ["detect", "0"] for line in readable({"by_kind": nothing_right}).splitlines())
    kinds["ocr"]["accepted"] = none | {"num": 1}
    text = readable({"confidence": {"kinds": kinds}})
    assert "confidence: kinds: ocr: accepted" in text.splitlines()
