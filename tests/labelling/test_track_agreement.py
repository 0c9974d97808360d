"""What keyframes agree on: the heaviest group wins, its share is the agreement, people see what disagrees."""

from collections.abc import Sequence

import pytest
from factories import make_row
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.labelling.track_agreement import Look, agree
from schemas.images import Answer, Grounding
from schemas.labels import Decision, Label, LabelKind, Signal, Source
from schemas.regions import Region
from schemas.tracks import TRACK_DISAGREES, Track

ID = "0123456789abcdef/t0-0"


def look(
    text: str | None = None,
    quality: float = 1.0,
    logprob: float = 0.0,
    confidence: float | None = None,
    decision: Decision | None = None,
    phrases: Sequence[tuple[str, bool]] = (),
    answer: str | None = None,
) -> Look:
    """A keyframe that shows the track in its only region. phrases: those asked, and whether each names it."""

    def label(kind: LabelKind, words: str) -> Label:
        signals = [Signal(name="logprob_mean", value=logprob)]
        return Label(kind=kind, text=words, signals=signals, confidence=confidence, decision=decision)

    row = make_row(1, boxes=[(0, 0, 9, 9)], groundings=[])
    labels = [label(LabelKind.BRIEF_CAPTION, text)] if text is not None else []
    region = Region(
        region_id="r", index=0, box_xyxy=(0, 0, 9, 9), box_source=Source.MODEL, labels=labels, track_id=ID
    )
    groundings = [
        Grounding(
            phrase=phrase,
            kind=LabelKind.GROUND,
            region_ids=["r"] if names else [],
            label=label(LabelKind.GROUND, phrase),
        )
        for phrase, names in phrases
    ]
    answers = [
        Answer(question="whose?", region_id="r", answer=text, label=label(LabelKind.ASK, text))
        for text in ([answer] if answer else [])
    ]
    update = {"regions": [region], "groundings": groundings, "answers": answers}
    return Look(row.model_copy(update=update), region, quality)


def agreed(looks: Sequence[Look]) -> Track:
    track = Track(
        track_id=ID, video_id="0", shot=0, first_frame=0, last_frame=0, frames=[0], times_s=[0.0],
        boxes_xyxy=[(0, 0, 9, 9)], scores=[0.5],
    )  # fmt: skip
    agree(track, looks)
    return track


def signals(label: Label) -> dict[str, float]:
    return {signal.name: signal.value for signal in label.signals}


def test_answers_of_the_same_words_are_one_group() -> None:
    track = agreed([look("A red cube."), look("a red cube", 0.5), look("a blue cube", 0.7)])
    (label,) = track.labels
    assert track.brief_caption == label.text == "A red cube."
    assert signals(label)["track_agreement"] == pytest.approx(1.5 / 2.2)
    assert signals(label)["track_keyframes"] == 3
    assert TRACK_DISAGREES not in label.reasons


def test_the_surer_answer_in_the_better_view_wins_over_more_but_unsure_ones() -> None:
    track = agreed([look("a cat", 1.0, logprob=0.0), look("a dog", 0.3, -1.0), look("a dog", 0.3, -1.0)])
    assert track.brief_caption == "a cat"


def test_near_equal_groups_disagree() -> None:
    track = agreed([look("a cat"), look("a dog", 0.9)])
    assert track.labels[0].reasons == [TRACK_DISAGREES]
    assert agreed([look("a cat"), look("a dog", 0.5)]).labels[0].reasons == []


def test_confidences_and_decisions_of_the_keyframes_are_not_those_of_the_track() -> None:
    (label,) = agreed([look("a cat", confidence=0.9, decision=Decision.ACCEPT)]).labels
    assert (label.confidence, label.decision) == (None, None)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1), st.floats(-5, 0)), min_size=1, max_size=6))
def test_the_agreement_is_the_share_of_the_heaviest_text(said: list[tuple[str, float, float]]) -> None:
    track = agreed([look(text, quality, logprob) for text, quality, logprob in said])
    share = signals(track.labels[0])["track_agreement"]
    num_texts = len({text for text, *_ in said})
    assert 1 / num_texts - 1e-9 <= share <= 1
    assert track.brief_caption in {text for text, *_ in said}
    if num_texts == 1:
        assert share == pytest.approx(1)


def test_a_phrase_is_kept_if_half_of_the_looks_say_that_it_names_the_thing() -> None:
    track = agreed(
        [
            look(phrases=[("the van", True), ("a wheel", False)]),
            look(phrases=[("The van", True), ("a wheel", True)]),
            look(phrases=[("the van", False), ("a wheel", False)]),
        ]
    )
    (phrase,) = track.phrases
    assert (phrase.phrase, phrase.kind) == ("the van", LabelKind.GROUND)
    assert signals(phrase.label)["track_agreement"] == pytest.approx(2 / 3)


def test_answers_to_a_question_are_agreed_like_captions() -> None:
    track = agreed([look(answer="mine"), look(answer="Mine!"), look(answer="yours", quality=0.4)])
    (answer,) = track.answers
    assert (answer.question, answer.answer) == ("whose?", "mine")
    assert signals(answer.label)["track_agreement"] == pytest.approx(2 / 2.4)


def test_a_track_that_no_keyframe_shows_has_no_labels() -> None:
    track = agreed([])
    assert (track.brief_caption, track.labels, track.decision) == (None, [], None)
