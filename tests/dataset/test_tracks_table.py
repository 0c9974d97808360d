"""Videos and tracks of shards: written, gathered, sealed, replayed, and read back equal."""

import shutil
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from factories import make_reject, make_row, make_shard
from gathering import Crash, DyingStore
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_tracks import Clip, make_clip

from fo1_data.dataset.layout import TRACKS, VIDEOS
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.table_files import write_tables
from fo1_data.dataset.tracks_table import (
    table_to_tracks,
    table_to_videos,
    tracks_to_table,
    videos_to_table,
)
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.writer import DatasetRun, open_run
from schemas.dataset import Manifest
from schemas.images import Provenance
from schemas.labels import Decision, Label, LabelKind, Signal, Source
from schemas.shards import FileLimits, ShardReport
from schemas.tracks import TRACK_SCHEMA, Keyframe, Shot, Track, TrackAnswer, TrackPhrase, VideoRow

FEW = [make_clip(seed, num_tracks=1, keyframes=[3]) for seed in range(2)]
CLIPS = [make_clip(seed, num_tracks=1 + seed) for seed in range(4)]


def begin(out: Path, replay: bool = False) -> DatasetRun:
    return open_run(str(out), {"model_sha256": "aa"}, {}, replay=replay)


def write(run: DatasetRun, index: int, clip: Clip, try_id: str = "t") -> ShardReport:
    return run.write_shard(make_shard(index), clip.rows, [], try_id, tracks=clip.tracks, videos=[clip.video])


def write_all(out: Path, gathered: bool = False) -> Manifest:
    run = begin(out)
    for index, clip in enumerate(CLIPS):
        write(run, index, clip)
    if gathered:
        for group in run.plan_groups(len(CLIPS), FileLimits(rows=4))[0].take_ready():
            run.gather(group, "t")
    return begin(out).seal("made-up")


def content(out: Path) -> tuple[list[VideoRow], list[Track]]:
    dataset = open_dataset(str(out))
    return list(dataset.videos()), list(dataset.tracks())


EXPECTED = ([clip.video for clip in CLIPS], [track for clip in CLIPS for track in clip.tracks])


@pytest.mark.parametrize("gathered", [False, True])
def test_videos_and_tracks_come_out_as_they_went_in(tmp_path: Path, gathered: bool) -> None:
    out = tmp_path / "d"
    manifest = write_all(out, gathered)
    assert content(out) == EXPECTED
    assert (manifest.counts.videos, manifest.counts.tracks) == (4, 10)
    assert [file.path for file in manifest.files][-3:] == [VIDEOS, TRACKS, "rejects.parquet"]
    assert [len(data) for data in content(out)] == [4, 10]
    assert validate_dataset(str(out)) == []
    assert not list((out / ".run").rglob("*.parquet"))
    joined = duckdb.execute(
        f"SELECT count(*) FROM '{out}/data/*.parquet' d, UNNEST(d.regions) AS u(r), "
        f"'{out}/tracks.parquet' t WHERE r.track_id = t.track_id"
    ).fetchall()
    assert joined == [(20,)]


def test_a_dataset_without_videos_has_neither_table_nor_count(tmp_path: Path) -> None:
    run = begin(tmp_path / "d")
    run.write_shard(make_shard(), [make_row()], [], "t")
    manifest = run.seal("made-up")
    assert [file.path for file in manifest.files] == ["data/train-00000.parquet", "rejects.parquet"]
    assert "tracks" not in manifest.model_dump_json()
    assert content(tmp_path / "d") == ([], [])


def test_equal_videos_in_two_shards_become_one_with_its_tracks_once(tmp_path: Path) -> None:
    out = tmp_path / "d"
    run = begin(out)
    twin = make_clip(0, uri="memory://clips/copy.mp4", uris=["memory://clips/copy.mp4"])
    for index, clip in enumerate([make_clip(0), make_clip(1), twin]):
        write(run, index, clip)
    for group in run.plan_groups(3, FileLimits())[0].take_ready():
        run.gather(group, "t")
    manifest = run.seal("made-up")
    videos, tracks = content(out)
    assert [video.uris for video in videos] == [
        ["memory://clips/000.mp4", "memory://clips/copy.mp4"],
        ["memory://clips/001.mp4"],
    ]
    assert tracks == [*make_clip(0).tracks, *make_clip(1).tracks]
    assert (manifest.counts.videos, manifest.counts.tracks, manifest.counts.images) == (2, 4, 4)
    listed = {entry.image_id: entry for entry in manifest.duplicates}
    assert listed[twin.video.video_id].dropped == ["memory://clips/copy.mp4"]
    assert validate_dataset(str(out)) == []


def test_a_replay_adds_the_videos_that_failed_and_keeps_the_tables_of_the_version_before(
    tmp_path: Path,
) -> None:
    out = tmp_path / "d"
    run = begin(out)
    write(run, 0, CLIPS[0])
    run.write_shard(make_shard(1), [], [make_reject("memory://clips/001.mp4")], "t")
    run.seal("made-up")
    first = (out / TRACKS).read_bytes()
    again = begin(out, replay=True)
    write(again, 0, CLIPS[1])
    write(again, 1, make_clip(0, uris=["elsewhere.mp4"], uri="elsewhere.mp4"))
    manifest = again.seal("made-up")
    videos, tracks = content(out)
    assert tracks == [*CLIPS[0].tracks, *CLIPS[1].tracks]
    assert [video.uris for video in videos] == [
        ["memory://clips/000.mp4", "elsewhere.mp4"],
        ["memory://clips/001.mp4"],
    ]
    assert (manifest.version, manifest.counts.videos, manifest.counts.tracks) == ("2", 2, 3)
    assert (out / "tracks.1.parquet").read_bytes() == first
    kept = (out / "manifest.1.json").read_text()
    assert '"tracks.1.parquet"' in kept
    assert '"videos.1.parquet"' in kept


def test_a_death_at_any_step_of_a_replay_loses_no_track(tmp_path: Path) -> None:
    """The process dies before each of its writes in turn; what is left is gone on with."""
    begun = tmp_path / "begun"
    begin(begun).seal("made-up")
    for index, clip in enumerate(FEW):
        write(begin(begun, replay=True), index, clip)
    deadly = 0
    while True:
        deadly += 1
        out = tmp_path / str(deadly)
        shutil.copytree(begun, out)
        run = begin(out, replay=True)
        run.store = DyingStore(out, deadly)
        try:
            _gather_and_seal(run)
        except Crash:
            manifest = _gather_and_seal(begin(out, replay=True), "again")
            assert content(out) == ([clip.video for clip in FEW], [clip.tracks[0] for clip in FEW])
            assert (manifest.counts.videos, manifest.counts.tracks) == (2, 2)
            continue
        break
    assert deadly > 4


def _gather_and_seal(run: DatasetRun, try_id: str = "t") -> Manifest:
    for group in run.plan_groups(len(FEW), FileLimits())[0].take_ready():
        run.gather(group, try_id)
    return run.seal("made-up")


def test_many_long_tracks_are_written_in_row_groups_of_bounded_size(tmp_path: Path) -> None:
    clip = make_clip(0, num_tracks=1)
    num = 40_000
    long_track = clip.tracks[0].model_copy(
        update={
            "frames": list(range(num)), "times_s": [n / 25 for n in range(num)],
            "boxes_xyxy": [(0.0, 0.0, 1.0, 1.0)] * num, "scores": [0.5] * num,
        }
    )  # fmt: skip
    tracks = [long_track.model_copy(update={"track_id": f"long/t0-{n}"}) for n in range(60)]
    table = tracks_to_table(tracks[:1])
    run = begin(tmp_path / "d")
    file = write_tables(run.store, TRACKS, TRACK_SCHEMA, (table for _ in tracks), None)
    parquet = pq.ParquetFile(tmp_path / "d" / TRACKS)
    sizes = [parquet.metadata.row_group(n).num_rows for n in range(parquet.num_row_groups)]
    assert sizes == [52, 8] == file.row_group_rows


floats = st.floats(0, 2000, width=32)
times = st.floats(0, 1e5)
texts = st.text(max_size=8)
labels = st.builds(
    Label,
    kind=st.sampled_from(LabelKind),
    text=texts,
    confidence=st.none() | st.floats(0, 1, width=32),
    signals=st.lists(st.builds(Signal, name=texts, value=floats), max_size=2),
    decision=st.none() | st.sampled_from(Decision),
    reasons=st.lists(texts, max_size=2),
    source=st.sampled_from(Source),
    annotator=st.none() | texts,
    box_moved=st.booleans(),
    annotated_at=st.none() | texts,
)
keyframes = st.builds(Keyframe, frame=st.integers(0, 2**31 - 1), time_s=times, image_id=texts)
shots = st.builds(Shot, first_frame=st.integers(0, 99), last_frame=st.integers(0, 99))
ids = st.integers(0, 99).map(str)


@st.composite
def any_track(draw: st.DrawFn) -> Track:
    frames = sorted(draw(st.sets(st.integers(0, 2**31 - 1), max_size=6)))

    def each(of: st.SearchStrategy[object]) -> list[object]:
        return [draw(of) for _ in frames]

    return Track.model_validate(
        {
            "track_id": draw(texts), "video_id": draw(texts), "shot": draw(st.integers(0, 99)),
            "first_frame": draw(st.integers(0, 99)), "last_frame": draw(st.integers(0, 99)),
            "frames": frames, "times_s": each(times), "boxes_xyxy": each(st.tuples(*[floats] * 4)),
            "scores": each(st.none() | st.floats(0, 1, width=32)), "gaps": draw(st.lists(shots, max_size=2)),
            "keyframes": draw(st.lists(keyframes, max_size=2)), "box_source": draw(st.sampled_from(Source)),
            "source_label": draw(st.none() | texts), "brief_caption": draw(st.none() | texts),
            "detailed_caption": draw(st.none() | texts), "text": draw(st.none() | texts),
            "labels": draw(st.lists(labels, max_size=2)),
            "phrases": draw(
                st.lists(
                    st.builds(TrackPhrase, phrase=texts, kind=st.sampled_from(LabelKind), label=labels),
                    max_size=1,
                )
            ),
            "answers": draw(
                st.lists(st.builds(TrackAnswer, question=texts, answer=texts, label=labels), max_size=1)
            ),
            "decision": draw(st.none() | st.sampled_from(Decision)),
        }
    )  # fmt: skip


videos = st.builds(
    VideoRow,
    video_id=ids, uri=texts, uris=st.lists(texts, max_size=2), corpus=texts, meta=st.none() | texts,
    width=st.integers(1, 9000), height=st.integers(1, 9000), num_frames=st.integers(0, 2**31 - 1),
    duration_s=times, fps=times, constant_rate=st.booleans(), shots=st.lists(shots, max_size=2),
    keyframes=st.lists(keyframes, max_size=2), provenance=st.builds(Provenance, job_id=st.none() | texts),
)  # fmt: skip


@settings(max_examples=20)
@given(st.lists(any_track(), max_size=3), st.lists(videos, max_size=3))
def test_any_tracks_and_videos_come_back_equal(tracks: list[Track], rows: list[VideoRow]) -> None:
    assert list(table_to_tracks(tracks_to_table(tracks))) == tracks
    assert list(table_to_videos(videos_to_table(rows))) == rows


def test_boxes_are_stored_as_float32() -> None:
    table = tracks_to_table(CLIPS[0].tracks)
    assert table["boxes_xyxy"].combine_chunks().values.flatten().type == "float"
    assert (
        np.float32(0.1)
        in tracks_to_table([CLIPS[0].tracks[0].model_copy(update={"boxes_xyxy": [(0.1, 0.1, 1.0, 1.0)]})])[
            "boxes_xyxy"
        ]
        .combine_chunks()
        .values.flatten()
        .to_numpy()
    )
