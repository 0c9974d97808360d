"""Shows the progress of a run: a live line on a terminal, else a plain line every few seconds.

Everything goes to standard error; standard output is for the result of the command.
"""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from fo1_data.cli.output import console
from fo1_data.plurals import counted
from schemas.progress import RunProgress, RunState

PLAIN_EVERY_S = 5.0
_NO_RATES = {"images_per_s": None, "regions_per_s": None, "seconds_left": None}


class ProgressLines:
    """Shows the figures of a run while it works. A context manager and a `runs.watcher.Watcher`."""

    def __init__(self, output: Console = console) -> None:
        self._console = output
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            _Figures(),
            console=output,
            transient=True,
        )
        self._task = self._live.add_task("starting", total=None, figures="")
        self._shown_s = float("-inf")
        self._last = self._shown_counts = ""

    def __enter__(self) -> "ProgressLines":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, progress: RunProgress) -> None:
        """Show the figures; without a terminal, at most one line every `PLAIN_EVERY_S` seconds.

        The last line, of a run that has ended, is left out if the one before it has the same counts.
        """
        line = figures(progress)
        if self._console.is_terminal:
            self._live.update(
                self._task,
                total=progress.images_total or None,
                completed=progress.images,
                figures=line,
            )
            return
        has_ended = progress.state is not RunState.RUNNING
        counts = figures(progress.model_copy(update=_NO_RATES))
        if not (has_ended and counts == self._shown_counts) and self._print(line, at_once=has_ended):
            self._shown_counts = counts

    def show_listing(self, text: str) -> None:
        """Show how far the listing is, as often as figures."""
        if self._console.is_terminal:
            self._live.update(self._task, description=text)
        else:
            self._print(text)

    def _print(self, line: str, at_once: bool = False) -> bool:
        """Print a line if it is another and its time has come; whether it was printed."""
        now_s = time.monotonic()
        if line == self._last or (now_s - self._shown_s < PLAIN_EVERY_S and not at_once):
            return False
        self._shown_s, self._last = now_s, line
        self._console.print(line, markup=False)
        return True

    def note(self, message: str) -> None:
        """Print a line above the live one."""
        self._console.print(message, markup=False)

    def reached(self, step: str) -> None:
        """Show the step that a run has reached, before there are figures."""
        description_after = {
            "listed": "starting",
            "ray_started": "loading the model",
            "model_loaded": "labelling",
        }
        if step in description_after:
            self._live.update(self._task, description=description_after[step])
            if not self._console.is_terminal and step != "listed":
                self._console.print(description_after[step], markup=False)


class _Figures(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(str(task.fields["figures"]))


def figures(progress: RunProgress) -> str:
    """The figures in one line: what is done and in total, rates, decisions, rejects, time left.

    What is counted are images, tiles of them, or videos.
    """
    all_videos = progress.videos_total > 0 and progress.videos_total == progress.images_total
    noun = "tile" if progress.tiles_total else "video" if all_videos else "image"
    parts = [f"{progress.images:,}/{counted(progress.images_total or 0, noun)}"]
    if progress.images_per_s is not None and not all_videos:
        parts.append(f"{progress.images_per_s:.1f} {noun}s/s")
    if progress.regions_per_s is not None:
        parts.append(f"{progress.regions_per_s:.0f} regions/s")
    if progress.accepted or progress.audit or progress.unreviewed or progress.review:
        parts.append(f"{progress.accepted} accepted, {progress.audit} to audit, {progress.review} to review")
        parts += [f"{progress.unreviewed} unreviewed"] if progress.unreviewed else []
    else:
        parts.append(counted(progress.regions, "region"))
    if progress.videos_total:
        parts.append(counted(progress.tracks, "track"))
    parts.append(f"{progress.rejected} rejected")
    if progress.frames_in_work:
        shots = f"{counted(progress.shots_in_work, 'shot')} labelled"
        answers = counted(progress.answers_in_work, "answer")
        parts.append(f"in work: {counted(progress.frames_in_work, 'frame')}, {shots}, {answers}")
    elif progress.images_read_ahead or progress.answers_in_work:
        parts.append(
            f"in work: {counted(progress.images_read_ahead, noun)}, "
            f"{counted(progress.answers_in_work, 'answer')}"
        )
    if progress.seconds_left:
        parts.append(f"{duration(progress.seconds_left)} left")
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """A duration in words, such as `3 min 05 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
