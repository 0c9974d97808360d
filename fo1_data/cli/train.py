"""`fo1 train`: fine-tunes a checkpoint on datasets. The same command again resumes the training."""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fo1_data.cli.label import require_ray
from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.cli.stopped_training import ended_by_signals, exit_if_stopped
from fo1_data.cli.training_lines import TrainingLines
from fo1_data.plurals import counted
from fo1_data.runs.rejected_inputs import reasons_text
from fo1_data.training.layout import BEST, PATIENCE


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
    validation: Annotated[
        list[str] | None,
        typer.Option(
            help="Dataset or corpus to validate on; repeat it for several. Default: the split `validation`, "
            "or a share of the images (`validation_share`)."
        ),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(min=0, help="Passes over the training images, in place of --steps.")
    ] = None,
    resume_from: Annotated[
        Path | None,
        typer.Option(help="Folder of a run to go on from, into --out: its weights, optimiser and step."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to train on. Default: a local Ray, if --workers is given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train on labelled images. Run the same command again to resume it."""
    from fo1_data.model.checkpoint_folder import find_checkpoint
    from fo1_data.training.loggers import refuse_missing_loggers
    from fo1_data.training.out_folder import refuse_other_folder
    from fo1_data.training.samples.source import refuse_unreadable
    from fo1_data.training.settings import load_train_config

    settings = load_train_config(config, steps, epochs)
    refuse_missing_loggers(settings.loggers)
    validate_on = validation or []
    refuse_other_folder(out)
    chosen_stage: Literal[1, 2] = 1 if stage == 1 else 2
    if address is None:  # the nodes of a cluster may see other files
        refuse_unreadable(datasets)
        refuse_unreadable(validate_on, split=None)
        if "://" not in model:
            find_checkpoint(model)
    runs_on_ray = workers is not None or address is not None
    if runs_on_ray:
        require_ray()
    run: Callable[..., dict[str, Any]]
    # Ray, and what logs to services, write on standard output, which is only for the result.
    with redirect_stdout(sys.stderr), ended_by_signals():
        say(f"stage {stage} on {', '.join(datasets)}: loading {model}")
        if runs_on_ray:
            from actors.training import train_on_ray

            run = partial(train_on_ray, workers=workers or 1, address=address)
        else:
            from fo1_data.training.run import train as train_here

            run = train_here
        document = run(
            datasets,
            chosen_stage,
            model,
            out,
            settings,
            watch=TrainingLines(),
            validation=validate_on,
            resume_from=resume_from,
        )
        exit_if_stopped(document, out)
    emit(document, as_json, f"{out}: {_done(document)}")


def _done(document: dict[str, Any]) -> str:
    """What the run did. A run without steps left has no loss."""
    steps = counted(document["steps"], "step")
    if document["last_loss"] is None:
        return f"nothing left to do: {steps} done already"
    text = f"{steps}, last loss {document['last_loss']:.4f}"
    if document["stopped"] == PATIENCE:
        text += "; stopped because no measurement was better than the best"
    if document["best"] is not None:
        text += f"; the best on validation images is that of step {document['best']['step']}, in {BEST}/"
    if document["left_out"]:
        images = counted(document["left_out"], "training image")
        text += f"; {images} left out, because the same is validated on"
    if document["unusable"]:
        images = counted(sum(document["unusable"].values()), "training image")
        names = ", ".join(document["unusable_such_as"])
        text += f"; {images} could not be used ({reasons_text(document['unusable'])}), such as {names}"
    return text
