"""A name in a file of boxes means one image of the corpus, or none."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fo1_data.proposals.file_boxes import FileBoxes
from fo1_data.proposals.pairing import pair_names
from schemas.corpus import CorpusAnswer, CorpusExample, CorpusImage, CorpusPhrase, CorpusRegion


def entries_at(*addresses: str) -> list[CorpusImage]:
    """`t.tar::x` is a member of an archive."""
    parts = [address.split("::") for address in addresses]
    return [CorpusImage(uri=uri, inner="".join(inner) or None) for uri, *inner in parts]


@pytest.mark.parametrize(
    ("name", "addresses", "index"),
    [
        ("a/x.png", ["/c/a/x.png", "/c/b/x.png"], 0),
        ("a\\x.png", ["/c/a/x.png", "/c/b/x.png"], 0),
        ("./a/x.png", ["/c/b/x.png", "/c/a/x.png"], 1),
        ("a/x.png", ["/c/b/x.png"], None),
        ("x.png", ["/c/a/x.png", "/c/b/x.png"], None),
        ("x.png", ["/c/a/x.png", "/c/x.png"], 1),
        ("a/x.png", ["/c/b/a/x.png", "/c/a/x.png"], 1),
        ("a/x.png", ["/c/b/a/x.png", "/c/d/a/x.png"], None),
        ("/far/b/x.png", ["/c/a/x.png", "/c/b/x.png"], 1),
        ("C:\\far\\b\\x.png", ["/c/a/x.png", "/c/b/x.png"], 1),
        ("/far/x.png", ["/c/a/x.png", "/c/b/x.png"], None),
        ("/c/a/x.png", ["/c/d/c/a/x.png", "/c/a/x.png"], 1),
        ("s3://k/z.jpg", ["s3://k/z.jpg"], 0),
        ("t.tar::x.png", ["/c/t.tar::x.png", "/c/u.tar::x.png"], 0),
        ("x.png", ["/c/t.tar::x.png", "/c/u.tar::y.png"], 0),
    ],
)
def test_one_name(name: str, addresses: list[str], index: int | None) -> None:
    assert pair_names([name], entries_at(*addresses)).images.get(name) == index


def test_a_path_of_another_machine_must_fit_better_than_every_other_name() -> None:
    """The image of `train` is not given the boxes of `val`, whose own image is not listed."""
    pairing = pair_names(["/far/train/x.png", "/far/val/x.png"], entries_at("/c/train/x.png"))
    assert pairing.images == {"/far/train/x.png": 0}
    assert pair_names(["/p/x.png", "/q/x.png"], entries_at("/c/x.png")).images == {}


def test_two_names_of_one_image_add_up(tmp_path: Path) -> None:
    boxes = FileBoxes(boxes_file(tmp_path, ["a/x.png", "x.png"]))
    (entry,) = boxes.attach_boxes(entries_at("/c/a/x.png"))
    assert [region.box_xyxy[0] for region in entry.regions or []] == [0, 1]


FOLDERS = st.lists(st.sampled_from("abc"), max_size=3)
PATHS = st.builds(lambda folders, file: "/".join([*folders, file]), FOLDERS, st.sampled_from(["x", "y"]))


@given(st.lists(PATHS, unique=True), st.lists(st.tuples(st.booleans(), PATHS), unique=True), st.randoms())
def test_the_order_of_images_and_names_changes_nothing(
    paths: list[str], named: list[tuple[bool, str]], random: object
) -> None:
    names = [f"/far/{name}" if is_far else name for is_far, name in named]
    entries = entries_at(*(f"/corpus/{path}" for path in paths))
    pairing = pair_names(names, entries)
    assert not pairing.images.keys() & pairing.ambiguous.keys()
    assert all(len(indices) > 1 for indices in pairing.ambiguous.values())
    for name, index in pairing.images.items():
        assert entries[index].uri.rpartition("/")[2] == name.rpartition("/")[2]
        assert name.startswith("/far/") or entries[index].uri.endswith(f"/{name}")
    random.shuffle(entries)  # type: ignore[attr-defined]
    random.shuffle(names)  # type: ignore[attr-defined]
    again = pair_names(names, entries)
    by_address = {name: entries[index].uri for name, index in again.images.items()}
    assert by_address == {name: f"/corpus/{paths[index]}" for name, index in pairing.images.items()}


# --- the account of a file


def boxes_file(folder: Path, names: list[str]) -> str:
    """One box of each image, at its number in the list."""
    path = folder / "boxes.jsonl"
    records = [{"image": name, "boxes": [[i, 0, i + 1, 1]]} for i, name in enumerate(names)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def test_what_cannot_be_paired_is_a_reject(tmp_path: Path) -> None:
    boxes = FileBoxes(boxes_file(tmp_path, ["a/x.png", "y.png", "/far/b/z.png", "gone.png"]))
    entries = entries_at("/c/a/x.png", "/c/b/x.png", "/c/a/y.png", "/c/b/y.png", "/c/b/z.png")
    paired, rejects, account = boxes.pair_with(entries)
    assert [[region.box_xyxy[0] for region in entry.regions or []] for entry in paired] == [
        [0],
        [],
        [],
        [],
        [2],
    ]
    assert account.found == {"images": 4, "boxes": 4}
    assert account.attached == account.rejected == {"images": 2, "boxes": 2}
    assert [reject.reason for reject in rejects] == ["ambiguous_name", "not_listed"]
    assert rejects[0].message.startswith("y.png names 2 images (/c/a/y.png, /c/b/y.png), which get none of")
    assert account.reasons == [reject.message for reject in rejects]


def test_a_limited_corpus_does_not_reject_names_beyond_it(tmp_path: Path) -> None:
    boxes = FileBoxes(boxes_file(tmp_path, ["x.png", "y.png"]))
    _, rejects, account = boxes.pair_with(entries_at("/c/x.png"), is_whole=False)
    assert rejects == []
    assert account.notes == ["1 name fits no image that is listed, such as y.png"]


def test_what_is_said_of_the_boxes_of_the_corpus_is_not_said_of_those_of_a_file(tmp_path: Path) -> None:
    answers = [
        CorpusAnswer(question="What is this?", answer="a cat", region_index=0),
        CorpusAnswer(question="Is it day?", answer="yes"),
    ]
    entry = CorpusImage(
        uri="/c/x.png",
        regions=[CorpusRegion(box_xyxy=(9, 9, 19, 19)), CorpusRegion(box_xyxy=(1, 9, 9, 19))],
        phrases=[CorpusPhrase(text="a cat", region_indices=[0])],
        answers=answers,
        examples=[CorpusExample(region_index=0, region_indices=[1])],
        meta={"licence": 3, "region_meta": [{"iscrowd": 1}, {}]},
    )
    (paired,) = FileBoxes(boxes_file(tmp_path, ["x.png"])).attach_boxes([entry])
    assert [region.box_xyxy for region in paired.regions or []] == [(0, 0, 1, 1)]
    assert paired.phrases == [CorpusPhrase(text="a cat")]
    assert (paired.answers, paired.examples, paired.meta) == ([answers[1]], [], {"licence": 3})
