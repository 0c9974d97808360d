"""A random checkpoint and an engine over it, made once."""

from pathlib import Path

import pytest
import torch
from random_checkpoint import write_random_checkpoint

from fo1_data.model.checkpoint import Checkpoint, load_checkpoint


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def random_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_checkpoint(tmp_path_factory.mktemp("checkpoint") / "random")


@pytest.fixture(scope="session")
def random_checkpoint(random_folder: Path) -> Checkpoint:
    return load_checkpoint(str(random_folder))
