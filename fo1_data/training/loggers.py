"""Where the figures of a run go: TensorBoard's files beside the checkpoint, and services that keep curves.

A service is used through its own package and reads its own settings (project, address, key) from the
environment, as its documentation says. One that fails is told of once and left out from then on: the run
goes on, and its own log has all figures.
"""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from fo1_data.errors import ConfigError, first_line
from fo1_data.storage.json_text import parse_object
from fo1_data.training.events import Event, Measured, SampleFigures, StepDone
from fo1_data.training.layout import LOGGERS, LOSSES, TENSORBOARD
from fo1_data.training.services import Aim, MLflow, ServiceRun, WandB
from fo1_data.training.settings import LoggerName, TrainConfig

# Of the first line of an error; some packages name whole addresses and retries.
_MOST_SHOWN = 160


class Logger(Protocol):
    """Takes the figures of a run."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of a step, by names such as `loss` or `validation/accuracy/caption`."""

    def close(self, failed: bool) -> None:
        """Write what is not written yet; the run has ended, by an error if it `failed`."""


class TensorBoard:
    """Writes TensorBoard's event files. `step`: figures of later steps in `folder` are no longer shown."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self, failed: bool) -> None:
        self._writer.close()


_SERVICES: dict[LoggerName, Callable[[ServiceRun], Logger]] = {
    LoggerName.WANDB: WandB,
    LoggerName.MLFLOW: MLflow,
    LoggerName.AIM: Aim,
}


class GuardedLogger:
    """A logger whose errors do not end the run: `tell` is called with the first one, then it logs no more."""

    def __init__(self, name: str, open_logger: Callable[[], Logger], tell: Callable[[str], None]) -> None:
        self._name, self._tell = name, tell
        self._logger: Logger | None = None
        self._attempt(lambda: setattr(self, "_logger", open_logger()))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        logger = self._logger
        if logger is not None:
            self._attempt(lambda: logger.log(step, figures))

    def close(self, failed: bool) -> None:
        logger = self._logger
        if logger is not None:
            self._attempt(lambda: logger.close(failed))

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # of another's package, which may raise anything
            self._logger = None
            reason = first_line(error)[:_MOST_SHOWN]
            self._tell(f"{self._name} gets no more figures of this run ({reason}); {LOSSES} has all of them")


def refuse_missing_loggers(names: Sequence[LoggerName]) -> None:
    """Raise ConfigError if the package of a logger is not installed."""
    for name in names:
        if importlib.util.find_spec(name.value) is None:
            raise ConfigError(f"loggers: {name} is not installed: pip install {name}, or leave it out")


@contextmanager
def open_loggers(
    out: Path, step: int, config: TrainConfig, is_first: bool, tell: Callable[[str], None]
) -> Iterator[list[Logger]]:
    """TensorBoard and the services of `config.loggers`, closed at the end; none for a worker but the first.

    `step`: the step that a resumed run begins from. `tell`: called once for a logger that fails.
    """
    if not is_first:
        yield []
        return
    loggers: list[Logger] = [GuardedLogger("TensorBoard", lambda: TensorBoard(out / TENSORBOARD, step), tell)]
    settings = config.model_dump(mode="json")
    for name in config.loggers:
        loggers.append(GuardedLogger(name, partial(_open_service, name, out, settings), tell))
    failed = True
    try:
        yield loggers
        failed = False
    finally:
        for logger in loggers:
            logger.close(failed)


def _open_service(name: LoggerName, out: Path, settings: Mapping[str, Any]) -> Logger:
    """The run of a service: that of before if `out` remembers it, so that a resumed run goes on in it."""
    path = out / LOGGERS
    ids: dict[str, str] = parse_object(path.read_text("utf-8")) if path.is_file() else {}
    run = ServiceRun(out.name, out.absolute().parent, settings, ids.get(name))
    logger = _SERVICES[name](run)
    if run.id is not None and run.id != ids.get(name):
        path.write_text(json.dumps({**ids, name: run.id}) + "\n", encoding="utf-8")
    return logger


def named_figures(event: Event) -> dict[str, float]:
    """The figures of an event by the names under which loggers keep them; empty if it has none."""
    if isinstance(event, StepDone):
        names = ("loss", "learning_rate", "gradient_norm", "samples_per_s", "tokens_per_s", "memory_bytes")
        return {name: getattr(event, name) for name in (*names, "unusable_images")}
    if isinstance(event, Measured):
        figures = _sample_figures("training", event.training)
        if event.validation is not None:
            figures |= _sample_figures("validation", event.validation)
        return figures
    return {}


def _sample_figures(part: str, figures: SampleFigures) -> dict[str, float]:
    accuracy = {f"{part}/accuracy/{kind}": share for kind, share in figures.accuracy.items()}
    return {f"{part}/loss": figures.loss, **accuracy}
