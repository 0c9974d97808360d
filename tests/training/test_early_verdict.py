"""What a person is told after a tenth of a run."""

import pytest

from fo1_data.training.early_verdict import early_verdict
from fo1_data.training.events import AnswerKind, Measured, Outlook, SampleFigures


def measured(loss: float, training: float, validation: float) -> Measured:
    """Guessing is right in .5."""

    def figures(share: float) -> SampleFigures:
        kind = AnswerKind.CAPTION
        return SampleFigures(loss, {kind: share}, {kind: 40}, {kind: 0.5})

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
    ],
)
def test_it_says_whether_the_run_learns_and_why_not(
    now: Measured, outlook: Outlook | None, words: str
) -> None:
    assert words in early_verdict(FIRST, now, outlook)
