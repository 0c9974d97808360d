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
