"""`fo1 evaluate` of tracks: of files of several forms, and of a dataset with videos."""

import json
from pathlib import Path
from typing import Any

import motmetrics
import pytest
from factories import make_shard
from made_up_tracks import Clip, make_clip
from typer.testing import CliRunner

from fo1_data.cli.main import app
from fo1_data.corpus.forms.track_lines import lines_of
from fo1_data.dataset.given_videos import given_videos
from fo1_data.dataset.human_labels import confirmed
from fo1_data.dataset.writer import open_run
from fo1_data.errors import ConfigError, UsageError

DATA = Path(motmetrics.__file__).parent / "data"


def run(*args: object, error: type[Exception] | None = None) -> Any:
    result = CliRunner().invoke(app, ["evaluate", *map(str, args)])
    assert error is not None or result.exit_code == 0, result.output
    assert error is None or isinstance(result.exception, error)
    return result


def test_texts_of_mot_challenge_are_compared(tmp_path: Path) -> None:
    folder = DATA / "TUD-Campus"
    result = run(folder / "test.txt", "--gold", folder / "gt.txt", "--json")
    figures = json.loads(result.stdout)["tracks"]
    assert (figures["hota"], figures["idf1"], figures["mota"]) == pytest.approx(
        (0.391397, 0.557659, 0.526462), abs=1e-6
    )
    assert "hota" in run(folder / "test.txt", "--gold", folder / "gt.txt").stdout


def _clips(num: int) -> list[Clip]:
    return [make_clip(seed) for seed in range(num)]


def _write_dataset(out: Path, clips: list[Clip]) -> Path:
    dataset = open_run(str(out), {"model_sha256": "aa"}, {})
    for index, clip in enumerate(clips):
        dataset.write_shard(make_shard(index), clip.rows, [], "t", tracks=clip.tracks, videos=[clip.video])
    dataset.seal("made-up")
    return out


def _write_gold(path: Path, clips: list[Clip]) -> Path:
    videos = [video for clip in clips for video in given_videos([clip.video], clip.tracks)]
    named = (video.model_copy(update={"video": video.video.rpartition("/")[2]}) for video in videos)
    path.write_bytes(b"".join(lines_of(named)))
    return path


def test_other_forms_of_the_same_tracks_score_the_same(tmp_path: Path) -> None:
    (clip,) = _clips(1)
    results = tmp_path / "made.txt"
    lines = [
        f"{frame + 1},{number},{box[0] + 1},{box[1] + 1},{box[2] - box[0]},{box[3] - box[1]},1"
        for number, track in enumerate(clip.tracks, start=1)
        for frame, box in zip(track.frames, track.boxes_xyxy, strict=True)
    ]
    results.write_text("\n".join(lines))
    gold = _write_gold(tmp_path / "gold.jsonl", [clip])
    figures = json.loads(run(results, "--gold", gold, "--json").stdout)["tracks"]
    assert figures["hota"] == figures["idf1"] == 1.0
    assert figures["captions"]["right"] == 0.0


def test_a_dataset_is_compared_with_the_tracks_of_gold(tmp_path: Path) -> None:
    clips = _clips(3)
    dataset = _write_dataset(tmp_path / "d", clips[:2])
    result = run(dataset, "--gold", _write_gold(tmp_path / "tracks.jsonl", clips), "--json")
    figures = json.loads(result.stdout)["tracks"]
    assert (figures["hota"], figures["captions"]["right"], figures["num_videos"]) == (1.0, 1.0, 2)
    assert figures["missing"]["videos"] == 1
    assert "only tracks" not in result.stderr


def test_a_dataset_is_gold_by_what_people_said_or_with_its_model_labels(tmp_path: Path) -> None:
    (clip,) = _clips(1)
    dataset = _write_dataset(tmp_path / "d", [clip])
    first, second = clip.tracks
    label = confirmed(first.labels[0], "ann", "2026-01-01T00:00:00Z")
    told = Clip(clip.video, [first.model_copy(update={"labels": [label]}), second], clip.rows)
    gold = _write_dataset(tmp_path / "gold", [told])
    figures = json.loads(run(dataset, "--gold", gold, "--json").stdout)["tracks"]
    assert (figures["num_gold_tracks"], figures["captions"]["right"]) == (1, 1.0)
    whole = run(dataset, "--gold", gold, "--gold-with-model-labels", "--json")
    assert json.loads(whole.stdout)["tracks"]["num_gold_tracks"] == 2


def test_results_of_youtube_vis_belong_to_the_videos_of_gold_by_their_ids(tmp_path: Path) -> None:
    boxes = [[1, 1, 5, 5], None, [3, 1, 5, 5]]
    videos = [{"id": n, "file_names": [f"{n}0/{m}.jpg" for m in range(3)], "length": 3} for n in (7, 8)]
    annotations = [{"id": n, "video_id": n, "category_id": 1, "bboxes": boxes} for n in (7, 8)]
    gold, results = tmp_path / "gold.json", tmp_path / "results.json"
    gold.write_text(json.dumps({"videos": videos, "annotations": annotations, "categories": []}))
    predicted = [{"video_id": 8, "score": 0.5, "category_id": 1, "bboxes": boxes}]
    results.write_text(json.dumps(predicted))
    figures = json.loads(run(results, "--gold", gold, "--json").stdout)["tracks"]
    assert (figures["hota"], figures["num_videos"], figures["missing"]["videos"]) == (1.0, 1, 1)


def test_a_dataset_without_videos_is_told_so(tmp_path: Path) -> None:
    (clip,) = _clips(1)
    dataset = open_run(str(tmp_path / "d"), {"model_sha256": "aa"}, {})
    dataset.write_shard(make_shard(0), clip.rows, [], "t")
    dataset.seal("made-up")
    result = run(tmp_path / "d", "--gold", _write_gold(tmp_path / "tracks.jsonl", [clip]), error=UsageError)
    assert "--tracker" in result.stderr


def test_gold_without_tracks_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "gold.jsonl").write_text('{"image": "a.png"}\n')
    result = run(DATA / "TUD-Campus/test.txt", "--gold", tmp_path / "gold.jsonl", error=ConfigError)
    assert "is a file of tracks" in str(result.exception)
