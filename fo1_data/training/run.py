"""A training run: `fo1 train`. A plain loop with exact resume, alone or as one of several workers.

Step `i` depends only on the seed and `i`: its images, the order of their boxes, the questions. So a resumed
run has the same losses as an uninterrupted one. A run's folder holds the last checkpoint in the released
layout, the best one in `best/`, the log `losses.jsonl`, TensorBoard's files in `tensorboard/`,
`training.json` (settings), `lineage.json` (inputs), and `training.pt` (trained weights in float32, optimiser,
step, random generator state). The first worker writes it.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fo1_data.errors import ConfigError
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.device import choose_device
from fo1_data.training.events import Watch, ignore
from fo1_data.training.layout import STATE
from fo1_data.training.out_folder import refuse_other_folder
from fo1_data.training.run_steps import Run
from fo1_data.training.samples.chats import read_chats
from fo1_data.training.samples.held_out import open_sources
from fo1_data.training.settings import Stage, TrainConfig
from fo1_data.training.workers import Workers


def train(
    addresses: Sequence[str],
    stage: Stage,
    model: str,
    out: Path,
    config: TrainConfig,
    watch: Watch = ignore,
    *,
    validation: Sequence[str] = (),
    resume_from: Path | None = None,
    stop_requested: Callable[[], str | None] = lambda: None,
) -> dict[str, Any]:
    """Train to `config.steps`, resuming a run in `out`; returns what the run did.

    If torch.distributed is set up, this is one worker of several. `validation`: datasets and corpora to
    validate on. `resume_from`: the folder of another run, whose state a new run in `out` begins with, in
    place of `model`. `stop_requested`: asked after each step; a name ends the run there, saved, as SIGINT and
    SIGTERM do. Raises subclasses of UsageError for bad data, settings or checkpoints, or an `out` that holds
    something else, RunError if training fails.
    """
    # Another worker's check would meet what the first one writes, or on its host no such folder.
    Workers().check_in_first(partial(refuse_other_folder, out))
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    if resume_from is not None and not (resume_from / STATE).is_file():
        raise ConfigError(f"--resume-from {resume_from}: holds no state of a run ({STATE})")
    chats = read_chats(config.chats) if config.chats is not None else None
    source, validation_source = open_sources(addresses, validation, config)
    if config.epochs is not None:
        steps = math.ceil(config.epochs * len(source) / config.batch_images)
        config = config.model_copy(update={"steps": max(1, steps)})
    first = model if resume_from is None else str(resume_from)
    checkpoint = load_checkpoint(
        first,
        device=choose_device(config.device),
        dtype=torch.float32,
        settings=config.checkpoint_settings,
    )
    run = Run(source, validation_source, checkpoint, stage, out, config, watch, validation, chats)
    run.resume(addresses, first, resume_from)
    return run.train(stop_requested)
