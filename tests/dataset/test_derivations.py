"""Publishing, taking an image out, comparing."""

import hashlib
import io
from pathlib import Path

import pytest
from accepted_parts import accepted_part
from factories import make_dataset, make_label, make_reject, make_row
from PIL import Image

from fo1_data.corpus.rejects import named
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.compare import compare_datasets
from fo1_data.dataset.versions.derive import VersionWriter
from fo1_data.dataset.versions.publish import publish
from fo1_data.dataset.versions.remove import remove_image
from fo1_data.errors import DatasetError
from schemas.images import Provenance
from schemas.labels import Decision, LabelKind, Signal, Source

ACCEPT, AUDIT, REVIEW = Decision.ACCEPT, Decision.AUDIT, Decision.REVIEW
UNREVIEWED = Decision.UNREVIEWED


def test_a_file_holds_rows_up_to_its_size(tmp_path: Path) -> None:
    rows = [make_row(seed, embed=True) for seed in range(6)]
    source = make_dataset(tmp_path / "d", rows)
    writer = VersionWriter(str(tmp_path / "e"), source, {"copy": "all"}, file_bytes=20_000)
    for row in rows:
        writer.add(row)
    manifest = writer.seal(source.version)
    assert [file.path for file in manifest.files][:2] == [
        "data/train-00000.parquet",
        "data/train-00001.parquet",
    ]
    assert [row.image_id for row in open_dataset(str(tmp_path / "e")).rows()] == [r.image_id for r in rows]


def test_a_step_begun_again_after_its_manifest_is_not_finished_meanwhile(tmp_path: Path) -> None:
    """As after a kill between the last two writes."""
    source, step = make_dataset(tmp_path / "d"), {"copy": "none"}
    out = tmp_path / "e"
    writer = VersionWriter(str(out), source, step)
    begun = (out / ".run/derivation.json").read_bytes()
    writer.seal(source.version)
    (out / ".run/derivation.json").write_bytes(begun)
    again = VersionWriter(str(out), source, step)
    with pytest.raises(DatasetError):
        open_dataset(str(out))
    again.seal(source.version)
    assert validate_dataset(str(out)) == []
    with pytest.raises(DatasetError, match="is not empty: this step has finished it already"):
        VersionWriter(str(out), source, step)
    with pytest.raises(DatasetError, match="is not empty: name a new folder"):
        VersionWriter(str(out), source, {"copy": "all"})


def test_a_step_whose_marker_is_damaged_says_what_to_delete(tmp_path: Path) -> None:
    source = make_dataset(tmp_path / "d")
    VersionWriter(str(tmp_path / "e"), source, {"copy": "none"})
    (tmp_path / "e/.run/derivation.json").write_bytes(b'{"st')
    with pytest.raises(DatasetError, match=f"is damaged.*; delete {tmp_path}/e and run again"):
        VersionWriter(str(tmp_path / "e"), source, {"copy": "none"})


def test_a_published_dataset_holds_the_very_bytes(tmp_path: Path) -> None:
    source = make_dataset(tmp_path / "d")
    manifest = publish(str(tmp_path / "d"), str(tmp_path / "pub")).manifest
    assert (manifest.parent, manifest.counts.images) == ("made-up@1", 6)
    originals = list(open_dataset(str(tmp_path / "d")).rows())
    for row, original in zip(open_dataset(str(tmp_path / "pub")).rows(), originals, strict=True):
        assert row.image.bytes is not None
        assert hashlib.sha256(row.image.bytes).hexdigest() == row.image_id
        assert Image.open(io.BytesIO(row.image.bytes)).size == (row.width, row.height)
        assert row.regions == original.regions
    assert validate_dataset(str(tmp_path / "pub")) == []
    assert source.model is not None
    assert manifest.model == source.model


def test_a_changed_or_lost_image_is_refused_by_name(tmp_path: Path) -> None:
    rows = [make_row(seed, folder=tmp_path / "images") for seed in range(2)]
    make_dataset(tmp_path / "d", rows)
    Path(rows[1].uri).write_bytes(Path(rows[0].uri).read_bytes())
    with pytest.raises(DatasetError, match=f"{rows[1].image_id[:16]}.*00001.png: holds another image"):
        publish(str(tmp_path / "d"), str(tmp_path / "pub"))
    Path(rows[1].uri).unlink()
    with pytest.raises(DatasetError, match="cannot be had") as lost:
        publish(str(tmp_path / "d"), str(tmp_path / "pub"))
    assert str(lost.value).count(rows[1].uri) == 1
    # The same step in the same folder goes on once the image is back.
    make_row(1, folder=tmp_path / "images")
    assert publish(str(tmp_path / "d"), str(tmp_path / "pub")).manifest.counts.images == 2
    with pytest.raises(DatasetError, match="not empty"):
        publish(str(tmp_path / "d"), str(tmp_path / "pub"))


@pytest.mark.parametrize(
    ("message", "has_name"),
    [
        ("/d/a does not exist", True),
        ("/d/a: no such file", True),
        ("what is at /d/a.", True),
        ("/d/a", True),
        ("/d/a.jpg does not exist", False),
        ("/b/d/a does not exist", False),
        ("/d/a::b.jpg is no image", False),
        ("/d/a/b: no such file", False),
        ("it is empty", False),
    ],
)
def test_a_name_inside_another_one_is_no_name(message: str, has_name: bool) -> None:
    assert named(message, "/d/a") == (message if has_name else f"/d/a: {message}")


def test_a_copy_elsewhere_stands_in_for_a_lost_image(tmp_path: Path) -> None:
    row = make_row(1, folder=tmp_path / "images")
    row.uris.insert(0, str(tmp_path / "gone.png"))
    row.uri = row.uris[0]
    make_dataset(tmp_path / "d", [row])
    assert publish(str(tmp_path / "d"), str(tmp_path / "pub")).manifest.counts.images == 1


def test_only_what_was_accepted_is_published(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    mixed = make_row(0, num_regions=3, folder=folder, decisions=[ACCEPT, REVIEW, AUDIT])
    refused = make_row(1, folder=folder, decisions=[REVIEW, REVIEW])
    unrouted = make_row(2, folder=folder)
    make_dataset(tmp_path / "d", [mixed, refused, unrouted])
    publish(str(tmp_path / "d"), str(tmp_path / "pub"), only_accepted=True)
    (kept,) = open_dataset(str(tmp_path / "pub")).rows()
    assert kept.image_id == mixed.image_id
    assert [region.brief_caption is None for region in kept.regions] == [False, True, False]
    assert [region.box_xyxy for region in kept.regions] == [region.box_xyxy for region in mixed.regions]
    assert kept.groundings == []
    assert kept.decision is AUDIT
    assert validate_dataset(str(tmp_path / "pub")) == []


def test_unreviewed_labels_are_published_only_if_an_option_names_them(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    decisions = [ACCEPT, UNREVIEWED, AUDIT, REVIEW]
    row = make_row(0, num_regions=4, folder=folder, decisions=decisions)
    row.regions[2].labels[0].confidence = None  # drawn for the audit, without a calibration
    nobody_saw = make_row(1, folder=folder, decisions=[UNREVIEWED, UNREVIEWED])
    make_dataset(tmp_path / "d", [row, nobody_saw])

    def published(name: str, **options: bool) -> dict[str, list[bool]]:
        publish(str(tmp_path / "d"), str(tmp_path / name), **options)
        assert validate_dataset(str(tmp_path / name)) == []
        rows = open_dataset(str(tmp_path / name)).rows()
        return {row.image_id: [region.brief_caption is not None for region in row.regions] for row in rows}

    first, second = row.image_id, nobody_saw.image_id
    assert published("all") == {first: [True, False, False, True], second: [False, False]}
    assert published("accepted", only_accepted=True) == {first: [True, False, False, False]}
    named = {"only_accepted": True, "include_unreviewed": True}
    assert published("named", **named) == {first: [True, True, True, False], second: [True, True]}
    assert published("whole", include_unreviewed=True) == {first: [True] * 4, second: [True, True]}
    assert publish(str(tmp_path / "d"), str(tmp_path / "again")).unreviewed_left_out == 4


def test_labels_accepted_without_a_calibration_by_an_older_version_are_unreviewed(tmp_path: Path) -> None:
    row = make_row(0, num_regions=2, folder=tmp_path / "images", decisions=[ACCEPT, ACCEPT])
    row.regions[1].labels[0].confidence = None
    make_dataset(tmp_path / "d", [row])
    assert publish(str(tmp_path / "d"), str(tmp_path / "pub"), only_accepted=True).unreviewed_left_out == 1
    (kept,) = open_dataset(str(tmp_path / "pub")).rows()
    assert [region.brief_caption is None for region in kept.regions] == [False, True]


def test_a_persons_word_counts_as_accepted_and_a_caption_falls_with_its_phrase() -> None:
    row = make_row(0, num_regions=2, caption="a red square", decisions=[ACCEPT, None])
    row.regions[1].labels[0].source = Source.HUMAN
    grounded = make_label(kind=LabelKind.GROUNDED_CAPTION, decision=REVIEW)
    row.groundings[0] = row.groundings[0].model_copy(
        update={"kind": LabelKind.GROUNDED_CAPTION, "label": grounded}
    )
    kept = accepted_part(row)
    assert kept is not None
    assert kept.regions[1].brief_caption is not None
    assert kept.caption is None
    row.groundings[0].label.decision, row.groundings[0].label.confidence = ACCEPT, 0.9
    kept = accepted_part(row)
    assert kept is not None
    assert kept.caption == "a red square"


def test_an_image_taken_out_is_nowhere_in_the_next_version(tmp_path: Path) -> None:
    rows = [make_row(seed) for seed in range(5)]
    rejects = [make_reject(rows[1].uri), make_reject("other"), make_reject("x", image_id=rows[1].image_id)]
    source = make_dataset(tmp_path / "d", rows, rejects)
    manifest = remove_image(str(tmp_path / "d"), rows[1].image_id, str(tmp_path / "d2"))
    assert (manifest.version, manifest.parent) == ("2", "made-up@1")
    dataset = open_dataset(str(tmp_path / "d2"))
    assert [row.image_id for row in dataset.rows()] == [rows[i].image_id for i in (0, 2, 3, 4)]
    assert [reject.uri for reject in dataset.rejects()] == ["other"]
    assert manifest.files[1] == source.files[1]
    assert validate_dataset(str(tmp_path / "d2")) == []
    assert len(list(open_dataset(str(tmp_path / "d")).rows())) == 5
    for path in (path for path in (tmp_path / "d2").rglob("*") if path.is_file()):
        assert rows[1].image_id.encode() not in path.read_bytes()
        assert rows[1].uri.encode() not in path.read_bytes()
    with pytest.raises(DatasetError, match="has no image"):
        remove_image(str(tmp_path / "d"), "f" * 64, str(tmp_path / "d3"))


def test_a_difference_is_named_by_image_and_column(tmp_path: Path) -> None:
    rows = [make_row(seed) for seed in range(4)]
    make_dataset(tmp_path / "a", rows[:3])
    same = rows[0].model_copy(update={"provenance": Provenance(model="another")})
    near = rows[1].model_copy(deep=True)
    near.regions[0].objectness = 0.50005
    changed = rows[2].model_copy(deep=True)
    changed.regions[0].labels[0].signals = [Signal(name="margin", value=0.2)]
    changed.caption = "new"
    make_dataset(tmp_path / "b", [rows[3], changed, near, same])
    found = compare_datasets(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (found.equal, found.only_a, found.only_b) == (2, [], [rows[3].image_id])
    assert found.changed == {rows[2].image_id: ["regions", "caption"]}
    assert compare_datasets(str(tmp_path / "a"), str(tmp_path / "a")).is_empty


def test_a_published_dataset_is_the_same_but_for_where_its_pixels_are(tmp_path: Path) -> None:
    make_dataset(tmp_path / "d")
    publish(str(tmp_path / "d"), str(tmp_path / "pub"))
    assert compare_datasets(str(tmp_path / "d"), str(tmp_path / "pub")).is_empty
