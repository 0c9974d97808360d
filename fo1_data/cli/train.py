"""`fo1 train`: fine-tunes a checkpoint on datasets; run again with the same arguments it resumes."""

from pathlib import Path
from typing import Annotated

import typer

from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.errors import ConfigError


def train(
    datasets: Annotated[list[str], typer.Argument(help="Datasets of fo1, or corpora with gold.")],
    stage: Annotated[int, typer.Option(min=1, max=2, help="1: regions and new tokens; 2: language too.")],
    out: Annotated[Path, typer.Option(help="The checkpoint's folder; it loads as --model.")],
    model: Annotated[str, typer.Option(help="The checkpoint to start from.")] = "fo1-tiny",
    config: Annotated[str | None, typer.Option(help="TOML file of settings.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps; over the file's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train on labelled images; the result loads as `--model`."""
    from fo1_data.training.settings import load_train_config

    settings = load_train_config(config, steps)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file: name a folder")
    from fo1_data.training.trainer import train as run

    def progress(step: int, loss: float) -> None:
        if step == settings.steps or step % max(1, settings.steps // 20) == 0:
            say(f"step {step} of {settings.steps}: loss {loss:.4f}")

    document = run(datasets, 1 if stage == 1 else 2, model, out, settings, progress)
    emit(document, as_json, f"{out}: {document['steps']} steps, last loss {document['last_loss']}")
