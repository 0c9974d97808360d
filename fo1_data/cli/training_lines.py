"""The lines that `fo1 train` shows while it works."""

import time
from collections.abc import Iterator, Sequence

from fo1_data.cli.output import say
from fo1_data.cli.progress_lines import duration
from fo1_data.plurals import counted
from fo1_data.training.events import (
    AnswerKind,
    Event,
    Measured,
    Notice,
    Outlook,
    RateTried,
    RunBegun,
    SampleFigures,
    SourceLabels,
    StepDone,
)

SHOW_EVERY_S = 10.0


class TrainingLines:
    """Shows the beginning of a run, every measurement, and steps.

    Of the steps it shows the first, the last, about every twentieth part, and one every `SHOW_EVERY_S`.
    """

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None
        self._shown_s = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case RunBegun():
                for line in _begun(event):
                    say(line)
            case Outlook():
                say(_outlook(event))
            case RateTried():
                self._show_rate(event)
            case StepDone():
                self._show_step(event)
            case Measured():
                say(_measured(event))
            case Notice():
                say(f"fo1: {event.text}")

    def _show_rate(self, tried: RateTried) -> None:
        now_s = time.monotonic()
        if tried.chosen is not None:
            say(f"learning rate {tried.chosen:g}, found in {counted(tried.number, 'step')}")
        elif now_s - self._shown_s >= SHOW_EVERY_S:
            self._shown_s = now_s
            say(f"trying learning rates: {tried.rate:.2g} gives loss {tried.loss:.3f}")

    def _show_step(self, done: StepDone) -> None:
        now_s = time.monotonic()
        is_due = done.step % max(1, done.steps // 20) == 0 or now_s - self._shown_s >= SHOW_EVERY_S
        if self._first is not None and done.step != done.steps and not is_due:
            return
        parts = [
            f"step {done.step} of {done.steps}: loss {done.loss:.4f}",
            f"{done.samples_per_s:.3g} samples/s",
            f"{done.tokens_per_s:,.0f} tokens/s",
            f"{done.memory_bytes / 2**30:.1f} GiB",
        ]
        if self._first is None:
            self._first = (done.step, now_s)
        elif self._first[0] < done.step < done.steps:
            first_step, first_s = self._first
            seconds_left = (now_s - first_s) / (done.step - first_step) * (done.steps - done.step)
            parts.append(f"{duration(seconds_left)} left")
        self._shown_s = now_s
        say(", ".join(parts))


def _begun(begun: RunBegun) -> Iterator[str]:
    images = f"{counted(begun.images, 'image')} to train on"
    if begun.validation_images:
        images += f", {begun.validation_images:,} to validate on ({begun.measured_images:,} measured)"
    else:
        images += ", none to validate on: only training images are measured"
    resumed = f"resuming at step {begun.step} of {begun.steps}: " if begun.step else ""
    yield f"{resumed}{images}"
    yield from _labels_table(begun.sources)
    yield from begun.warnings


def _labels_table(sources: Sequence[SourceLabels]) -> list[str]:
    """What the labels of each source can teach, as a table."""
    head = ["labels of", "images", *AnswerKind, "by people", "weight"]
    rows = [
        [
            source.address,
            f"{source.images:,}",
            *(f"{source.labels[kind]:,}" for kind in AnswerKind),
            f"{source.by_people:,}",
            f"{source.weight:g}",
        ]
        for source in sources
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    table = [head, *rows] if rows else []
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in table]
    partly = [source for source in sources if source.counted_images < source.images]
    lines += [f"  of {source.address} {source.counted_images:,} images were counted" for source in partly]
    return lines


def _outlook(outlook: Outlook) -> str:
    size = f"{counted(outlook.names, 'name')}, {counted(outlook.boxes, 'box', 'boxes')}"
    text = (
        f"a linear reader of the region features names {outlook.linear:.2f} of unseen boxes rightly, "
        f"guessing {outlook.guess:.2f} ({size})"
    )
    if outlook.linear < outlook.guess + 0.05:
        text += ": the features hardly tell them apart, so a training can hardly either"
    return text


def _measured(measured: Measured) -> str:
    parts = [("validation", measured.validation), ("training", measured.training)]
    lines = [f"  {name}: {_figures(figures)}" for name, figures in parts if figures is not None]
    best = ", the best so far" if measured.is_best else ""
    lines += [f"  {measured.verdict}"] if measured.verdict is not None else []
    return "\n".join([f"after step {measured.step}{best}: exactly right, and by guessing", *lines])


def _figures(figures: SampleFigures) -> str:
    kinds = [
        f"{kind} {share:.2f} ({figures.guess.get(kind, 0):.2f}, of {figures.questions[kind]})"
        for kind, share in figures.accuracy.items()
    ]
    return ", ".join([f"loss {figures.loss:.4f}", *kinds])
