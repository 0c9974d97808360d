"""HOTA, IDF1 and MOTA: those of trackeval and of motmetrics on real sequences, and what they do on made-up
ones.
"""

import contextlib
import io
import shutil
import sys
from pathlib import Path
from typing import Any

import motmetrics
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.corpus.forms.mot import read_mot_text
from fo1_data.errors import ConfigError, UsageError
from fo1_data.evaluation.track_captions import match_tracks
from fo1_data.evaluation.tracks import score_tracks
from schemas.corpus import GivenTrack, GivenVideo

# Two real sequences with the results of a tracker, which motmetrics carries.
DATA = Path(motmetrics.__file__).parent / "data"
SEQUENCES = ("TUD-Campus", "TUD-Stadtmitte")


def _read(name: str) -> tuple[GivenVideo, GivenVideo]:
    predicted = read_mot_text(str(DATA / name / "test.txt"), is_gold=False)
    gold = read_mot_text(str(DATA / name / "gt.txt"), is_gold=True)
    assert predicted.faults == gold.faults == []
    return predicted.video, gold.video


def _score(name: str) -> dict[str, Any]:
    predicted, gold = _read(name)
    return score_tracks([predicted], [gold])


def _figures_of_trackeval(tmp_path: Path) -> dict[str, Any]:
    """By trackeval's own reader and evaluator, without its preprocessing."""
    from trackeval import Evaluator, datasets, metrics

    lengths = {}
    for name in SEQUENCES:
        gold, results = tmp_path / "gt" / name / "gt", tmp_path / "trackers/made/data"
        for folder in (gold, results):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / name / "gt.txt", gold / "gt.txt")
        shutil.copy(DATA / name / "test.txt", results / f"{name}.txt")
        lengths[name] = max(int(line.split(",")[0]) for line in (gold / "gt.txt").read_text().split())
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = datasets.MotChallenge2DBox(
            {
                "GT_FOLDER": str(tmp_path / "gt"),
                "TRACKERS_FOLDER": str(tmp_path / "trackers"),
                "SEQ_INFO": lengths,
                "SKIP_SPLIT_FOL": True,
                "DO_PREPROC": False,
            }
        )
        evaluator = Evaluator({"PLOT_CURVES": False, "OUTPUT_SUMMARY": False, "OUTPUT_DETAILED": False})
        results_of, _ = evaluator.evaluate([dataset], [metrics.HOTA(), metrics.CLEAR(), metrics.Identity()])
    figures: dict[str, Any] = results_of["MotChallenge2DBox"]["made"]
    return {name: parts["pedestrian"] for name, parts in figures.items()}


def test_figures_are_those_of_trackeval_through_its_own_reader(tmp_path: Path) -> None:
    expected = _figures_of_trackeval(tmp_path)
    pairs = [_read(name) for name in SEQUENCES]
    document = score_tracks([predicted for predicted, _ in pairs], [gold for _, gold in pairs])
    for name, figures in {"COMBINED_SEQ": document, **document["videos"]}.items():
        its = expected[name]
        for field in ("HOTA", "DetA", "AssA"):
            assert figures[field.lower()] == pytest.approx(np.mean(its["HOTA"][field]), abs=1e-6)
        assert figures["idf1"] == pytest.approx(its["Identity"]["IDF1"], abs=1e-6)
        assert figures["mota"] == pytest.approx(its["CLEAR"]["MOTA"], abs=1e-6)
        assert figures["id_switches"] == its["CLEAR"]["IDSW"]


@pytest.mark.filterwarnings("ignore:Operation with tuple")  # motmetrics under pandas 3
@pytest.mark.parametrize("name", SEQUENCES)
def test_idf1_and_mota_are_those_of_motmetrics(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # motmetrics 1.4 asks for a function that NumPy 2 has no more.
    monkeypatch.setattr(np, "asfarray", lambda values: np.asarray(values, np.float64), raising=False)
    files = (str(DATA / name / file) for file in ("gt.txt", "test.txt"))
    gold, predicted = (motmetrics.io.loadtxt(file, fmt="mot15-2D") for file in files)
    compared = motmetrics.utils.compare_to_groundtruth(gold, predicted, "iou", distth=0.5)
    expected = motmetrics.metrics.create().compute(compared, metrics=["idf1", "mota"]).iloc[0]
    figures = _score(name)
    assert figures["idf1"] == pytest.approx(expected["idf1"], abs=1e-6)
    assert figures["mota"] == pytest.approx(expected["mota"], abs=1e-6)


def test_nothing_is_printed_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    _score("TUD-Campus")
    assert capsys.readouterr().out == ""


def test_without_trackeval_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackeval.metrics", None)
    with pytest.raises(ConfigError, match=r"fo1-data\[tracks\]"):
        score_tracks([_video()], [_video()])


def _track(track_id: str = "1", first: int = 0, num: int = 10, x: float = 0.0, **fields: Any) -> GivenTrack:
    frames = list(range(first, first + num))
    boxes = [(x + frame, 5.0, x + frame + 20, 45.0) for frame in frames]
    return GivenTrack(id=track_id, frames=frames, boxes_xyxy=boxes, **fields)


def _video(*tracks: GivenTrack, name: str = "a") -> GivenVideo:
    return GivenVideo(video=name, tracks=list(tracks or [_track()]))


def test_gold_is_a_perfect_prediction_of_itself() -> None:
    figures = score_tracks([_video()], [_video()])
    assert figures["hota"] == figures["idf1"] == figures["mota"] == 1.0


@pytest.mark.parametrize(
    "predicted",
    [
        [_track(x=3.0)],
        [_track(num=7)],
        [_track(num=5), _track("2", first=5, num=5)],
        [_track(), _track("2", x=200.0)],
    ],
    ids=["moved", "shorter", "split", "one too many"],
)
def test_a_worse_prediction_scores_lower(predicted: list[GivenTrack]) -> None:
    assert score_tracks([_video(*predicted)], [_video()])["hota"] < 0.99


@settings(max_examples=25, deadline=None)
@given(shift=st.floats(1.0, 15.0), more=st.floats(1.0, 4.0))
def test_boxes_that_lie_farther_off_never_score_higher(shift: float, more: float) -> None:
    near, far = (score_tracks([_video(_track(x=x))], [_video()])["hota"] for x in (shift, shift + more))
    assert far <= near < 1.0


def test_an_empty_prediction_scores_nothing_and_an_empty_gold_too() -> None:
    nothing = GivenVideo(video="a", tracks=[])
    assert score_tracks([nothing], [_video()])["hota"] == 0.0
    assert score_tracks([_video()], [nothing])["false_positives"] == 10


def test_videos_are_paired_by_name_and_the_missing_count_as_misses_beside() -> None:
    gold = [_video(name="x/a.mp4"), _video(name="x/b.mp4")]
    predicted = [_video(name="/elsewhere/b.mp4"), _video(name="/elsewhere/c.mp4")]
    figures = score_tracks(predicted, gold)
    assert (figures["num_videos"], figures["hota"], figures["missing"]["videos"]) == (1, 1.0, 1)
    assert figures["missing"]["counted_as_misses"]["mota"] == 0.5
    with pytest.raises(UsageError, match="no video of the gold"):
        score_tracks([_video(name="y"), _video(name="z")], gold)


def test_gold_without_tracks_is_refused() -> None:
    with pytest.raises(UsageError, match="no tracks"):
        score_tracks([_video()], [GivenVideo(video="a")])


def test_captions_are_judged_one_a_track() -> None:
    gold = [
        _track("g1", caption="red cube"),
        _track("g2", x=300.0, caption="blue ball"),
        _track("g3", x=600.0),
    ]
    predicted = [
        _track("p1", x=301.0, caption="a blue ball"),
        _track("p2", num=4, caption="green cube"),
        _track("p3", first=4, num=6, caption="Red  cube"),
    ]
    figures = score_tracks([_video(*predicted)], [_video(*gold)])
    assert match_tracks(predicted, gold) == {0: 2, 1: 0}
    assert figures["captions"]["num"] == figures["captions"]["num_matched"] == 2
    assert figures["captions"]["right"] == 0.5
    assert score_tracks([_video(*predicted)], [_video(*gold)], "words")["captions"]["right"] == 1.0


def test_each_video_has_its_figures_also_those_of_one_name() -> None:
    """As in a file of YouTube-VIS, whose results name videos by their ids."""
    track = GivenTrack(id="1", frames=[0, 1], boxes_xyxy=[(0, 0, 9, 9)] * 2)
    gold = [GivenVideo(video="clip", id=number, tracks=[track]) for number in ("1", "2")]
    predicted = [GivenVideo(video="1", tracks=[track]), GivenVideo(video="2", tracks=[])]
    figures = score_tracks(predicted, gold)
    assert figures["num_videos"] == 2
    assert {name: one["hota"] for name, one in figures["videos"].items()} == {"clip (1)": 1, "clip (2)": 0}
