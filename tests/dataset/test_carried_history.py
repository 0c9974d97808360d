"""What people said of tracks, in a dataset that took rows of their keyframes over, but not the tracks."""

from pathlib import Path

import pytest
from factories import make_shard
from made_up_tracks import Clip, make_clip

from fo1_data.dataset.carried_history import carried_history
from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.merge import MergeReport, merge_corrections
from fo1_data.dataset.versions.publish import publish
from fo1_data.dataset.versions.remove import remove_image
from fo1_data.dataset.writer import open_run
from schemas.corrections import Correction
from schemas.images import ImageRow

CLIP, OTHER = make_clip(0, embed=True), make_clip(1, embed=True)
AT = "2026-11-24T10:00:00Z"


def caption(text: str, of: Clip = CLIP, at: str = AT, key: str = "review/1") -> Correction:
    return Correction(
        image_id=of.video.video_id, track_id=of.tracks[0].track_id, action="recaptioned",
        kind="brief_caption", after={"text": text}, at=at, as_of=at, annotator="ada", annotation_key=key,
    )  # fmt: skip


def write_clips(out: Path) -> str:
    run = open_run(str(out), {"model_sha256": "aa"}, {})
    for index, clip in enumerate((CLIP, OTHER)):
        run.write_shard(make_shard(index), clip.rows, [], "t", tracks=clip.tracks, videos=[clip.video])
    run.seal("made-up")
    return str(out)


def carry_over(parent: str, out: Path, image_ids: set[str]) -> str:
    """A dataset of these rows of its parent, as a run with `--parent` over single frames makes it."""
    dataset = open_dataset(parent)
    rows = [row for row in dataset.rows() if row.image_id in image_ids]
    run = open_run(str(out), {"model_sha256": "aa"}, {})
    run.write_shard(make_shard(0), rows, [], "t")
    run.seal("carried", parent=dataset.manifest, history=carried_history(dataset))
    assert validate_dataset(str(out)) == []
    return str(out)


def captions(address: str) -> list[str | None]:
    return [row.regions[0].brief_caption for row in open_dataset(address).rows()]


def merged(address: str, out: Path, *corrections: Correction) -> MergeReport:
    report = merge_corrections(address, corrections, str(out), reviews=["review"])
    assert validate_dataset(str(out)) == []
    return report


@pytest.fixture
def carried(tmp_path: Path) -> str:
    """One keyframe of a clip that people corrected as "a cup"; another clip stayed behind."""
    merged(write_clips(tmp_path / "v0"), tmp_path / "v1", caption("a cup"), caption("a hat", OTHER))
    return carry_over(str(tmp_path / "v1"), tmp_path / "carried", {CLIP.rows[1].image_id})


def test_the_corrections_of_the_tracks_of_rows_that_are_carried_over_go_along(carried: str) -> None:
    history = open_dataset(carried).history()
    assert [one.image_id for one in history.corrections.values()] == [CLIP.video.video_id]
    assert {*history.originals} == {CLIP.rows[1].image_id}
    assert history.track_originals == {CLIP.video.video_id: CLIP.tracks}
    assert history.other_videos == {CLIP.video.video_id: CLIP.video}
    assert captions(carried) == ["a cup"]


def test_what_was_said_of_a_track_elsewhere_can_be_withdrawn(carried: str, tmp_path: Path) -> None:
    report = merged(carried, tmp_path / "withdrawn")
    assert (report.merged["withdrawn"], report.merged["images"]) == (1, 1)
    assert _without_address(tmp_path / "withdrawn") == [CLIP.rows[1].regions]
    merged(str(tmp_path / "withdrawn"), tmp_path / "again", caption("a mug", at="2026-12-01"))
    assert captions(str(tmp_path / "again")) == ["a mug"]


def test_what_was_said_of_a_track_elsewhere_can_be_said_again(carried: str, tmp_path: Path) -> None:
    report = merged(carried, tmp_path / "same", caption("a cup"))
    assert (report.merged["new"], report.merged["images"]) == (0, 0)
    merged(str(tmp_path / "same"), tmp_path / "new", caption("a mug", at="2026-12-01"))
    assert captions(str(tmp_path / "new")) == ["a mug"]
    merged(str(tmp_path / "new"), tmp_path / "withdrawn")
    assert _without_address(tmp_path / "withdrawn") == [CLIP.rows[1].regions]


def test_a_later_version_and_a_second_run_know_it_too(carried: str, tmp_path: Path) -> None:
    publish(carried, str(tmp_path / "published"))
    again = carry_over(str(tmp_path / "published"), tmp_path / "second", {CLIP.rows[1].image_id})
    merged(again, tmp_path / "withdrawn")
    assert _without_address(tmp_path / "withdrawn") == [CLIP.rows[1].regions]


def test_it_leaves_with_the_last_keyframe(tmp_path: Path) -> None:
    merged(write_clips(tmp_path / "v0"), tmp_path / "v1", caption("a cup"), caption("a hat", OTHER))
    ids = [CLIP.rows[1].image_id, OTHER.rows[0].image_id]
    both = carry_over(str(tmp_path / "v1"), tmp_path / "both", {*ids})
    remove_image(both, ids[0], str(tmp_path / "one"))
    (video,) = carried_videos(carry_over(str(tmp_path / "one"), tmp_path / "again", {*ids}))
    assert video == OTHER.video.video_id


def test_what_a_person_made_of_a_track_elsewhere_is_a_preference(carried: str, tmp_path: Path) -> None:
    counts = export_dataset(carried, "preferences", str(tmp_path / "out"))
    assert counts["preferences"] == 1


def carried_videos(address: str) -> list[str]:
    return [*open_dataset(address).history().other_videos]


def _without_address(folder: Path) -> list[list[object]]:
    rows: list[ImageRow] = list(open_dataset(str(folder)).rows())
    return [list(row.regions) for row in rows]
