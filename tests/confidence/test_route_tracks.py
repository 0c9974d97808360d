"""Routing of tracks: the calibration and thresholds of regions, agreement, disagreement, people's labels."""

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from factories import make_shard
from made_up_labels import made_kind
from made_up_tracks import make_clip

from fo1_data.confidence.calibration import fit_kind
from fo1_data.confidence.calibration_file import write_calibration
from fo1_data.confidence.model_fit import FAMILIES
from fo1_data.confidence.route_dataset import route_dataset
from fo1_data.confidence.route_tracks import route_tracks
from fo1_data.confidence.routing import UNREVIEWED, Router
from fo1_data.dataset.human_labels import human_label, made_stale
from fo1_data.dataset.layout import TRACKS
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.writer import open_run
from schemas.calibration import Acceptance, Calibration, RoutingSettings
from schemas.images import Provenance
from schemas.labels import Decision, Label, LabelKind, Signal, strictest
from schemas.tracks import TRACK_DISAGREES, Track, TrackAnswer, TrackPhrase

BRIEF = LabelKind.BRIEF_CAPTION
CLIP = make_clip(0, num_tracks=1)
VIDEO = CLIP.video.video_id
KNOWN = {VIDEO: Provenance(model_sha256="ab" * 32)}


@cache
def calibration() -> Calibration:
    kind = fit_kind(made_kind(0, 60), 0, families=[next(iter(FAMILIES))], num_folds=2)
    return Calibration(
        created_at="2026-01-01T00:00:00Z", model_sha256="ab" * 32, proposer=None, prompts_version=None,
        dataset="d@1", gold="g", caption_match="exact", seed=0, kinds={BRIEF: kind},
    )  # fmt: skip


def router(threshold: float = 0.5) -> Router:
    made = Router(RoutingSettings(max_error=0.2), calibration(), [BRIEF])
    made.acceptances = {BRIEF: Acceptance(threshold=threshold, most_labels=10, explanation="")}
    return made


def track(share: float = 1.0, **changes: Any) -> Track:
    signals = [Signal(name="logprob_mean", value=-0.1), Signal(name="track_agreement", value=share)]
    label = Label(kind=BRIEF, text="a cup", signals=signals).model_copy(update=changes)
    return CLIP.tracks[0].model_copy(update={"labels": [label], "decision": label.decision})


def routed(one: Track, by: Router | None = None, known: dict[str, Provenance] = KNOWN) -> Label:
    (made,) = route_tracks(by or router(), [one], known)
    assert made.decision == strictest(label.decision for label in made.all_labels())
    return made.labels[0]


def test_a_confidence_is_that_of_the_calibration_times_the_agreement() -> None:
    whole, half = routed(track()).confidence, routed(track(0.5)).confidence
    assert whole is not None
    assert half == pytest.approx(whole / 2, abs=1e-6)


def test_thresholds_are_those_of_regions() -> None:
    confidence = routed(track()).confidence
    assert confidence is not None
    assert routed(track(), router(confidence - 0.01)).decision is Decision.ACCEPT
    below = routed(track(), router(min(0.999, confidence + 0.01)))
    assert below.decision is Decision.REVIEW
    assert "below" in below.reasons[-1]


def test_what_the_keyframes_disagree_on_is_for_people_each_time_it_is_routed() -> None:
    doubtful = track(0.9, reasons=[TRACK_DISAGREES])
    first = route_tracks(router(0.01), [doubtful], KNOWN)
    again = route_tracks(router(0.01), first, KNOWN)
    assert first == again
    assert again[0].decision is Decision.REVIEW
    assert again[0].labels[0].reasons[0] == TRACK_DISAGREES


def test_labels_of_people_and_stale_ones_stay_as_they_are() -> None:
    said = human_label(BRIEF, "a mug", "ada", "2026-01-01")
    stale = made_stale(Label(kind=BRIEF, text="a cup"), locked_too=True)
    for label in (said, stale):
        one = track().model_copy(update={"labels": [label], "decision": label.decision})
        made = routed(one)
        assert (made.decision, made.reasons) == (label.decision, label.reasons)


def test_another_model_s_labels_are_not_accepted() -> None:
    made = routed(track(), router(0.01), {VIDEO: Provenance(model_sha256="cd" * 32)})
    assert (made.confidence, made.decision) == (None, Decision.REVIEW)


def test_phrases_and_answers_are_decided_too() -> None:
    label = Label(kind=LabelKind.DETECT, text="cup")
    phrase = TrackPhrase(phrase="cup", kind=LabelKind.DETECT, label=label)
    answer = TrackAnswer(question="What?", answer="cup", label=Label(kind=LabelKind.ASK, text="cup"))
    one = track().model_copy(update={"phrases": [phrase], "answers": [answer]})
    (made,) = route_tracks(Router(RoutingSettings(audit=0.001), None, []), [one], KNOWN)
    assert {part.decision for part in made.all_labels()} == {Decision.UNREVIEWED}
    assert made.answers[0].label.reasons == [UNREVIEWED]
    assert one.decision is None


def test_a_routed_dataset_has_routed_tracks_and_equal_ones_are_taken_over(tmp_path: Path) -> None:
    run = open_run(str(tmp_path / "d"), {"model_sha256": "aa"}, {})
    video = CLIP.video.model_copy(update={"provenance": KNOWN[VIDEO]})
    run.write_shard(make_shard(), CLIP.rows, [], "t", tracks=[track()], videos=[video])
    run.seal("made-up")
    write_calibration(calibration(), str(tmp_path / "c.json"))
    names = [str(tmp_path / name) for name in ("d", "e", "f")]
    for source, out in pairwise(names):
        settings = RoutingSettings(audit=0.001)
        route_dataset(source, out, settings, str(tmp_path / "c.json"), force=True)
        assert validate_dataset(out) == []
    (made,) = open_dataset(names[1]).tracks()
    assert (made.decision, made.labels[0].confidence is not None) == (Decision.ACCEPT, True)
    assert Path(names[1], TRACKS).stat().st_ino == Path(names[2], TRACKS).stat().st_ino
    assert Path(names[0], TRACKS).stat().st_ino != Path(names[1], TRACKS).stat().st_ino
