"""`fo1 train`: fine-tunes a checkpoint on datasets. The same command again resumes the training."""

import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fo1_data.cli.label import require_ray
from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.cli.progress_lines import duration
from fo1_data.errors import ConfigError
from fo1_data.plurals import counted

if TYPE_CHECKING:
    from fo1_data.training.settings import TrainConfig

SHOW_EVERY_S = 10.0


def train(
    datasets: Annotated[list[str], typer.Argument(help="Datasets, or corpora with gold: folders or URLs.")],
    stage: Annotated[
        int,
        typer.Option(
            min=1, max=2, help="1: train the region encoder and the new tokens. 2: the language model too."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the trained checkpoint; it loads as --model.")],
    model: Annotated[
        str, typer.Option(help="Checkpoint to start from: a folder, URL or hub id, or fo1-tiny.")
    ] = "fo1-tiny",
    config: Annotated[
        str | None, typer.Option(help="TOML file of settings (docs/settings.md lists them).")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps; overrides `steps` of the file.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Train with this many processes on Ray Train. Default: this process alone."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to train on. Default: a local Ray, if --workers is given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train on labelled images. Run the same command again to resume it."""
    from fo1_data.model.checkpoint_folder import find_checkpoint
    from fo1_data.training.samples.source import refuse_untrainable
    from fo1_data.training.settings import load_train_config

    settings = load_train_config(config, steps)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file: name a folder")
    chosen_stage: Literal[1, 2] = 1 if stage == 1 else 2
    if address is None:  # the nodes of a cluster may see other files
        refuse_untrainable(datasets)
        if "://" not in model:
            find_checkpoint(model)
    say(f"stage {stage} on {', '.join(datasets)}: loading {model}")
    if workers is not None or address is not None:
        from actors.training import train_on_ray

        require_ray()
        # Ray reports on its workers on standard output, which is only for the result.
        with redirect_stdout(sys.stderr):
            document = train_on_ray(
                datasets,
                chosen_stage,
                model,
                out,
                settings,
                workers=workers or 1,
                address=address,
                progress=show_steps(settings),
            )
    else:
        from fo1_data.training.trainer import train as run

        document = run(datasets, chosen_stage, model, out, settings, show_steps(settings))
    emit(document, as_json, f"{out}: {_done(document)}")


def show_steps(settings: "TrainConfig") -> Callable[[int, float], None]:
    """Prints the loss and the time left: at the first step of this process and at the last, after about
    every twentieth part of the steps, and at least every `SHOW_EVERY_S`."""
    first_step: int | None = None
    first_s = shown_s = time.monotonic()

    def show(step: int, loss: float) -> None:
        nonlocal first_step, first_s, shown_s
        now_s = time.monotonic()
        is_due = step % max(1, settings.steps // 20) == 0 or now_s - shown_s >= SHOW_EVERY_S
        if first_step is not None and step != settings.steps and not is_due:
            return
        line = f"step {step} of {settings.steps}: loss {loss:.4f}"
        if first_step is None:
            first_step, first_s = step, now_s
        elif first_step < step < settings.steps:
            seconds_left = (now_s - first_s) / (step - first_step) * (settings.steps - step)
            line += f", {duration(seconds_left)} left"
        shown_s = now_s
        say(line)

    return show


def _done(document: dict[str, Any]) -> str:
    """What the run did. A run without steps left has no loss."""
    if document["last_loss"] is None:
        return f"nothing left to do: {counted(document['steps'], 'step')} done already"
    return f"{counted(document['steps'], 'step')}, last loss {document['last_loss']:.4f}"
