"""What a person is told after a tenth of a run."""

from dataclasses import replace

import pytest

from fo1_data.training.early_verdict import EarlyVerdict, early_verdict
from fo1_data.training.events import AnswerKind, Measured, Outlook, SampleFigures


def measured(loss: float, training: float, validation: float, guess: float = 0.5) -> Measured:
    """Captions, of which guessing is right in `guess`."""

    def figures(share: float) -> SampleFigures:
        kind = AnswerKind.CAPTION
        return SampleFigures(loss, {kind: share}, {kind: 40}, {kind: guess})

    return Measured(10, figures(validation), figures(training), is_best=True)


FIRST = measured(4.0, 0.0, 0.0)
BLIND, SHARP = Outlook(2, 80, linear=0.51, guess=0.5), Outlook(2, 80, linear=0.9, guess=0.5)


@pytest.mark.parametrize(
    ("now", "outlook", "words"),
    [
        (measured(1.0, 0.8, 0.7), SHARP, "it learns: caption better than by guessing"),
        (measured(1.0, 0.5, 0.5), BLIND, "do not tell the names apart"),
        (measured(3.9, 0.0, 0.0), SHARP, "it hardly learns; set find_learning_rate"),
        (measured(1.0, 0.8, 0.5), SHARP, "it learns its training images, not others"),
        (measured(1.0, 0.5, 0.5), SHARP, "it learns, but needs more steps"),
        (measured(1.0, 0.5, 0.5), None, "it learns, but needs more steps"),
        (measured(1.0, 0.0, 0.0, guess=0.97), None, "nothing to learn from caption"),
        (measured(0.1, 1.0, 1.0, guess=0.97), None, "nothing to learn from caption"),
    ],
)
def test_it_says_whether_the_run_learns_and_why_not(
    now: Measured, outlook: Outlook | None, words: str
) -> None:
    assert words in early_verdict(FIRST, now, outlook)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0.8, 0.9, "it learns: caption better than by guessing"),
        (0.9, 0.7, "caption worse than before the first step, though better than by guessing"),
        (0.9, 0.9, "caption as good as before the first step"),
    ],
)
def test_what_the_model_knew_before_is_not_learned(before: float, after: float, words: str) -> None:
    assert words in early_verdict(measured(1.0, before, before), measured(0.5, after, after), SHARP)


def test_the_verdict_comes_once_with_the_first_measurement_after_a_tenth() -> None:
    verdict, now = EarlyVerdict(), measured(1.0, 0.8, 0.7)
    told = [
        verdict.added_to(replace(now, step=step), 100, SHARP).verdict is not None for step in (0, 4, 12, 20)
    ]
    assert told == [False, False, True, False]


def test_a_kind_that_can_be_guessed_does_not_hide_one_that_can_be_learned() -> None:
    kinds = {AnswerKind.CAPTION: (1.0, 0.97), AnswerKind.PHRASE: (0.6, 0.1)}
    shares, guesses = ({kind: pair[place] for kind, pair in kinds.items()} for place in (0, 1))
    figures = SampleFigures(1.0, shares, dict.fromkeys(kinds, 40), guesses)
    verdict = early_verdict(FIRST, Measured(10, figures, figures, is_best=True), None)
    assert verdict == "it learns: phrase better than by guessing"
