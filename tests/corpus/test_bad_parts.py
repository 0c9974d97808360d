"""Records of which one phrase, count, answer or example is bad: it is refused by name, the rest is kept."""

import json
from pathlib import Path
from typing import Any

import pytest
from corpus_samples import write_tar

from fo1_data.corpus.readers import load_listing
from schemas.sources import ContentKind

GOOD: dict[str, list[Any]] = {
    "phrases": [{"text": "a cat"}],
    "counts": [{"text": "cats", "count": 2}],
    "answers": [{"question": "Where?", "answer": "here"}],
    "examples": [{"region_index": 0, "region_indices": [0]}],
}
BAD: list[tuple[str, Any]] = [
    ("phrases", {"txt": 1}),
    ("phrases", None),
    ("counts", {"text": "dogs", "count": -1}),
    ("answers", {"question": "Where?", "answer": None}),
    ("answers", "here"),
    ("examples", {"region_index": "first"}),
]


def record(name: str, part: Any) -> dict[str, Any]:
    lists = {key: [*parts, part] if key == name else parts for key, parts in GOOD.items()}
    return {"image": "a.png", "regions": [{"box_xyxy": [1, 2, 3, 4]}], "caption": "a scene", **lists}


def written(folder: Path, form: str, document: dict[str, Any]) -> Path:
    if form == "lines":
        (folder / "a.png").write_bytes(b"not opened")
        path = folder / "x.jsonl"
        path.write_text(json.dumps(document))
        return path
    write_tar(folder / "x.tar", {"a.json": json.dumps(document).encode(), "a.png": b"not opened"})
    return folder / "x.tar"


@pytest.mark.parametrize(("name", "part"), BAD)
@pytest.mark.parametrize("form", ["lines", "tar"])
def test_a_bad_part_costs_only_itself(tmp_path: Path, form: str, name: str, part: Any) -> None:
    listing = load_listing(str(written(tmp_path, form, record(name, part))))
    (entry,) = listing.entries
    (reject,) = listing.rejects
    assert (reject.reason, reject.uri) == ("bad_part", entry.name)
    assert f"{name}.1" in reject.message
    assert [len(getattr(entry, key)) for key in GOOD] == [1, 1, 1, 1]
    assert (entry.caption, len(entry.regions or [])) == ("a scene", 1)
    rejected = {kind: num for source in listing.sources for kind, num in source.rejected.items()}
    assert rejected == ({} if name == "examples" else {ContentKind(name): 1})


@pytest.mark.parametrize("form", ["lines", "tar"])
def test_a_field_that_is_no_list_costs_only_itself(tmp_path: Path, form: str) -> None:
    document = {**record("phrases", {"text": "a dog"}), "answers": "none"}
    listing = load_listing(str(written(tmp_path, form, document)))
    (entry,) = listing.entries
    assert [reject.reason for reject in listing.rejects] == ["bad_part"]
    assert (entry.answers, len(entry.phrases)) == ([], 2)
