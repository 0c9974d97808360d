"""What a run tells while it works: its log, the loggers, and who watches get every event."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fo1_data.training.events import Event, Measured, Notice, StepDone, Watch
from fo1_data.training.layout import LOSSES
from fo1_data.training.loggers import Logger, named_figures, open_loggers
from fo1_data.training.run_log import RunLog
from fo1_data.training.settings import TrainConfig


class Journal:
    """The journal of the run in the folder `out`; only the first worker's is kept (`is_first`).

    `log`: the run's own, JSON lines.
    """

    def __init__(self, out: Path, watch: Watch, is_first: bool) -> None:
        self.log = RunLog(out / LOSSES)
        self._out, self._watch, self._is_first = out, watch, is_first
        self._loggers: Sequence[Logger] = ()

    @contextmanager
    def open(self, step: int, config: TrainConfig) -> Iterator[None]:
        """Keep the figures of the steps after `step` in TensorBoard and the services of the settings too."""
        with open_loggers(self._out, step, config, self._is_first, self.notice) as loggers:
            self._loggers = loggers
            try:
                yield
            finally:
                self._loggers = ()

    def tell(self, event: Event) -> None:
        """Hand on an event. The log of a resumed run is the same as that of an undisturbed one."""
        if not self._is_first:
            return
        if (line := _log_line(event)) is not None:
            self.log.append(line)
        if isinstance(event, StepDone | Measured):
            for logger in self._loggers:
                logger.log(event.step, named_figures(event))
        self._watch(event)

    def notice(self, text: str) -> None:
        """Tell something in words."""
        self.tell(Notice(text))


def _log_line(event: Event) -> dict[str, Any] | None:
    """An event as the log holds it; None if it does not."""
    if isinstance(event, StepDone):
        names = ("step", "loss", "learning_rate", "gradient_norm")
        left_out = ("unusable_images",) if event.unusable_images else ()
        return {name: getattr(event, name) for name in (*names, *left_out)}
    if isinstance(event, Measured):
        parts = {"validation": event.validation, "training": event.training}
        documents = {name: part.document() for name, part in parts.items() if part is not None}
        return {"step": event.step, **documents}
    return None
