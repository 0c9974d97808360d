"""What the first measurements of a run say about its end: whether it learns, and if not, why."""

from dataclasses import replace

from fo1_data.training.events import AnswerKind, Measured, Outlook, SampleFigures

# A kind with fewer questions says nothing.
_FEWEST_QUESTIONS = 10
_HARDLY = 0.02
# Where the most frequent answer is right so often, an answer hardly depends on the image.
_GUESSED = 0.95
# Loss that has fallen by less than this part has hardly fallen.
_FALLEN = 0.1


class EarlyVerdict:
    """Gives the verdict with the first measurement after a tenth of the steps, if there was one before."""

    def __init__(self) -> None:
        self._first: Measured | None = None
        self._is_given = False

    def added_to(self, measured: Measured, steps: int, outlook: Outlook | None) -> Measured:
        """The measurement of a run of `steps` steps, with the verdict when it is time for it."""
        if self._first is None:
            self._first = measured if measured.step == 0 else None
        elif not self._is_given and measured.step >= steps / 10:
            self._is_given = True
            return replace(measured, verdict=early_verdict(self._first, measured, outlook))
        return measured


def early_verdict(first: Measured, now: Measured, outlook: Outlook | None) -> str:
    """One sentence for the person who waits. `first`: measured before the first step."""
    unseen = now.validation or now.training
    if not _judged(unseen) and _guessed(unseen):
        return (
            f"nothing to learn from {', '.join(_guessed(unseen))}: always giving the most frequent answer is "
            "right too, so no figure here tells whether it learns to look; fo1 train-detector learns where "
            "such things are, names_as_phrases with distractor_share which boxes show them"
        )
    if not _judged(unseen):
        return "too few questions are measured to say whether it learns: set measured_images higher"
    better = [kind for kind in _judged(unseen) if _gain(unseen, kind) > _HARDLY]
    if better:
        return _of_better(first.validation or first.training, unseen, better)
    fallen = 1 - now.training.loss / first.training.loss if first.training.loss else 0.0
    head = f"no better than guessing yet, the loss on training images fell from {first.training.loss:.2f} to "
    head += f"{now.training.loss:.2f}: "
    if outlook is not None and outlook.linear < outlook.guess + 2 * _HARDLY:
        return head + "the region features do not tell the names apart, so it will hardly become better"
    if fallen < _FALLEN:
        return head + "it hardly learns; set find_learning_rate, or a higher learning_rate"
    if now.validation is not None and any(
        _gain(now.training, kind) > _HARDLY for kind in _judged(now.training)
    ):
        return head + "it learns its training images, not others; more images would help most"
    return head + "it learns, but needs more steps"


def _of_better(first: SampleFigures, now: SampleFigures, better: list[AnswerKind]) -> str:
    """What the kinds say that are better than guessing: the model may have been so before."""
    rises = {kind: now.accuracy[kind] - first.accuracy.get(kind, 0.0) for kind in better}
    if learned := [kind for kind in better if rises[kind] > _HARDLY]:
        return f"it learns: {', '.join(learned)} better than by guessing"
    if worse := [kind for kind in better if rises[kind] < -_HARDLY]:
        return (
            f"{', '.join(worse)} worse than before the first step, though better than by guessing: set a "
            "lower learning_rate"
        )
    return (
        f"{', '.join(better)} as good as before the first step, and better than by guessing: the model knows "
        "much of this already"
    )


def _judged(figures: SampleFigures) -> list[AnswerKind]:
    """The kinds that have enough questions, and answers that differ."""
    guessed = _guessed(figures)
    return [
        kind
        for kind, number in figures.questions.items()
        if number >= _FEWEST_QUESTIONS and kind not in guessed
    ]


def _guessed(figures: SampleFigures) -> list[AnswerKind]:
    """The kinds whose answers nearly always are the most frequent one."""
    return [
        kind
        for kind, number in figures.questions.items()
        if number >= _FEWEST_QUESTIONS and figures.guess.get(kind, 0.0) >= _GUESSED
    ]


def _gain(figures: SampleFigures, kind: AnswerKind) -> float:
    return figures.accuracy[kind] - figures.guess.get(kind, 0.0)
