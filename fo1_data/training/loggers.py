"""Where the figures of a run go: TensorBoard's files beside the checkpoint, and services that keep curves.

A service is used through its own package and reads its own settings (project, address, key) from the
environment, as its documentation says.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from fo1_data.errors import ConfigError
from fo1_data.training.events import Event, Measured, SampleFigures, StepDone
from fo1_data.training.layout import TENSORBOARD
from fo1_data.training.settings import LoggerName, TrainConfig


class Logger(Protocol):
    """Takes the figures of a run."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of a step, by names such as `loss` or `validation/accuracy/caption`."""

    def close(self) -> None:
        """Write what is not written yet; the run has ended."""


class TensorBoard:
    """Writes TensorBoard's event files. `step`: figures of later steps in `folder` are no longer shown."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WandB:
    """Logs to Weights & Biases; a resumed run goes on in the same one."""

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        wandb = importlib.import_module("wandb")
        self._run = wandb.init(id=name, name=name, config=dict(config), resume="allow")

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """Logs to MLflow, as a new run of the experiment that its environment names."""

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        self._mlflow = importlib.import_module("mlflow")
        self._mlflow.start_run(run_name=name)
        self._mlflow.log_params({key: str(value)[:500] for key, value in config.items()})

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._mlflow.log_metrics({key: float(value) for key, value in figures.items()}, step=step)

    def close(self) -> None:
        self._mlflow.end_run()


class Aim:
    """Logs to Aim."""

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        self._run = importlib.import_module("aim").Run(experiment=name)
        self._run["settings"] = {key: str(value) for key, value in config.items()}

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for key, value in figures.items():
            self._run.track(float(value), name=key, step=step)

    def close(self) -> None:
        self._run.close()


_SERVICES: dict[LoggerName, Callable[[str, Mapping[str, Any]], Logger]] = {
    LoggerName.WANDB: WandB,
    LoggerName.MLFLOW: MLflow,
    LoggerName.AIM: Aim,
}


def refuse_missing_loggers(names: Sequence[LoggerName]) -> None:
    """Raise ConfigError if the package of a logger is not installed."""
    for name in names:
        if importlib.util.find_spec(name.value) is None:
            raise ConfigError(f"loggers: {name} is not installed: pip install {name}, or leave it out")


@contextmanager
def open_loggers(out: Path, step: int, config: TrainConfig, is_first: bool) -> Iterator[list[Logger]]:
    """TensorBoard and the services of `config.loggers`, closed at the end; none for a worker but the first.

    `step`: the step that a resumed run begins from.
    """
    with ExitStack() as stack:
        if not is_first:
            yield []
            return
        loggers: list[Logger] = [TensorBoard(out / TENSORBOARD, step)]
        settings = config.model_dump(mode="json")
        loggers += [_SERVICES[name](out.name, settings) for name in config.loggers]
        for logger in loggers:
            stack.callback(logger.close)
        yield loggers


def named_figures(event: Event) -> dict[str, float]:
    """The figures of an event by the names under which loggers keep them; empty if it has none."""
    if isinstance(event, StepDone):
        names = ("loss", "learning_rate", "gradient_norm", "samples_per_s", "tokens_per_s", "memory_bytes")
        return {name: getattr(event, name) for name in names}
    if isinstance(event, Measured):
        figures = _sample_figures("training", event.training)
        if event.validation is not None:
            figures |= _sample_figures("validation", event.validation)
        return figures
    return {}


def _sample_figures(part: str, figures: SampleFigures) -> dict[str, float]:
    accuracy = {f"{part}/accuracy/{kind}": share for kind, share in figures.accuracy.items()}
    return {f"{part}/loss": figures.loss, **accuracy}
