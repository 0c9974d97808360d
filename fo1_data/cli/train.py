"""`fo1 train`: fine-tunes a checkpoint on datasets; run again with the same arguments it resumes."""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fo1_data.cli.label import require_ray
from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.errors import ConfigError

if TYPE_CHECKING:
    from fo1_data.training.settings import TrainConfig


def train(
    datasets: Annotated[list[str], typer.Argument(help="Datasets of fo1, or corpora with gold.")],
    stage: Annotated[int, typer.Option(min=1, max=2, help="1: regions and new tokens; 2: language too.")],
    out: Annotated[Path, typer.Option(help="The checkpoint's folder; it loads as --model.")],
    model: Annotated[str, typer.Option(help="The checkpoint to start from.")] = "fo1-tiny",
    config: Annotated[str | None, typer.Option(help="TOML file of settings.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps; over the file's.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Train with so many processes on Ray Train (default: here, alone)."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to train on (default: a local Ray).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train on labelled images; the result loads as `--model`."""
    from fo1_data.training.settings import load_train_config

    settings = load_train_config(config, steps)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file: name a folder")
    chosen: Literal[1, 2] = 1 if stage == 1 else 2
    if workers is not None or address is not None:
        from actors.training import train_on_ray

        require_ray()
        # Ray tells of its workers on standard output, which is for the result alone.
        with redirect_stdout(sys.stderr):
            document = train_on_ray(
                datasets,
                chosen,
                model,
                out,
                settings,
                workers=workers or 1,
                address=address,
                progress=_progress(settings),
            )
    else:
        from fo1_data.training.trainer import train as run

        document = run(datasets, chosen, model, out, settings, _progress(settings))
    emit(document, as_json, f"{out}: {_done(document)}")


def _progress(settings: "TrainConfig") -> Callable[[int, float], None]:
    """Says a step and its loss, some twenty times a run."""

    def show(step: int, loss: float) -> None:
        if step == settings.steps or step % max(1, settings.steps // 20) == 0:
            say(f"step {step} of {settings.steps}: loss {loss:.4f}")

    return show


def _done(document: dict[str, Any]) -> str:
    """What a run did; one that had nothing left to do has no loss."""
    if document["last_loss"] is None:
        return f"all {document['steps']} steps were done already"
    return f"{document['steps']} steps, last loss {document['last_loss']:.4f}"
