"""The data that lies beside the project; tests that need it skip, saying so, where it is absent."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"no reference data: {SHARED.name}/ does not lie beside the project")
    return SHARED


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    return shared / "golden" / "reference-tiny"


@pytest.fixture(scope="session")
def corpora(shared: Path) -> Path:
    return shared / "corpora"
