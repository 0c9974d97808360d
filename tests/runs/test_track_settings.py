"""The settings of tracking: what they resolve to, what is refused, and what a run may be resumed under."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from fo1_data.config import load_run
from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.labelling.identity import PreliminaryIdentity
from fo1_data.runs.fingerprint import ListedCorpus, run_fingerprint
from fo1_data.runs.plan import list_corpus
from schemas.jobs import RunConfig


def config(corpus: Path, **settings: Any) -> RunConfig:
    return RunConfig.model_validate({"corpus": str(corpus), "out": str(corpus / "out"), **settings})


def test_single_frames_are_listed_only_without_a_tracker(tmp_path: Path) -> None:
    assert config(tmp_path, tracker="none").frame_step_s == 1.0
    assert config(tmp_path, frame_every_s=0.5).frame_step_s == 0.5
    tracked = config(tmp_path, tracker="sort", track_every=3)
    assert (tracked.frame_step_s, tracked.tracker_name) == (None, "sort")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tracker": "sort", "frame_every_s": 1.0}, "frame_every_s is for frames without a tracker"),
        ({"tracker": "none", "track_every": 2}, "track_every needs a tracker"),
    ],
)
def test_settings_that_contradict_each_other_are_one_line(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        load_run(None, {"corpus": "a", "out": "b", **settings})
    assert "\n" not in str(caught.value)


def test_an_unknown_tracker_is_refused_before_the_corpus_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--tracker deepsort: unknown; take bytetrack, .* or none"):
        list_corpus(config(tmp_path / "nowhere", tracker="deepsort"))


def test_without_trackers_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"clip")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "trackers" else found(name, *rest)
    )
    with pytest.raises(ConfigError, match=r"trackers is not installed: install fo1-data\[video\]"):
        list_corpus(config(tmp_path, tracker="bytetrack"))


def test_the_fingerprint_has_what_videos_depend_on_and_only_where_there_are_any(tmp_path: Path) -> None:
    def entries(has_tracks: bool, **settings: Any) -> dict[str, Any]:
        corpus = ListedCorpus("0" * 64, has_tracks=has_tracks)
        whole = run_fingerprint(config(tmp_path, **settings), PreliminaryIdentity(), corpus)
        return {name: whole[name] for name in ("tracker", "track_every", "frame_every_s") if name in whole}

    assert entries(True, tracker="bytetrack") == {"tracker": "bytetrack", "track_every": 1}
    assert entries(True, tracker="sort", track_every=2) == {"tracker": "sort", "track_every": 2}
    assert entries(False, tracker="sort") == {"frame_every_s": 1.0}  # as in versions without a tracker
    assert entries(False, frame_every_s=0.5) == {"frame_every_s": 0.5}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"proposals": "boxes.jsonl"}, "not followed through videos"),
        ({"parent": "old"}, "takes over no tracks"),
        ({"tracker": "sam3"}, "--tracker sam3 needs a checkpoint of SAM 3 with its tracker"),
        ({"proposals": "no such!"}, r"neither auto, .* \(with --tracker NAME only the labellers read it\)"),
    ],
)
def test_what_does_not_suit_videos_is_refused(tmp_path: Path, settings: dict[str, str], told: str) -> None:
    (tmp_path / "a.mp4").write_bytes(b"clip")
    with pytest.raises((ConfigError, CheckpointError), match=told) as caught:
        list_corpus(config(tmp_path, **settings))
    assert "\n" not in str(caught.value)


def test_the_checkpoint_says_what_follows_unless_the_settings_do(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"clip")

    def tracker(model_type: str, **settings: Any) -> str | None:
        folder = tmp_path / model_type
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(f'{{"model_type": "{model_type}"}}')
        return list_corpus(config(tmp_path, proposals=str(folder), **settings)).config.tracker_name

    assert tracker("sam3_video") == "sam3"
    assert tracker("sam3_video", tracker="sort") == "sort"
    assert tracker("sam3_video", tracker="none") is None
    assert tracker("sam3") == tracker("rt_detr") == "bytetrack"


def test_a_run_knows_its_videos(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"the same clip")
    (tmp_path / "c.png").write_bytes(b"an image")
    planned = list_corpus(config(tmp_path))
    assert planned.num_videos == 2
    assert [len(shard.images) for shard in planned.shards] == [2, 1]
    assert list_corpus(config(tmp_path, tracker="none")).num_videos == 0
