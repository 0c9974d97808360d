"""The data that lies beside the project; tests that need it skip, saying so, where it is absent."""

import os
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# What two processes of a parallel run must not start at once, and what takes so long that it must come early.
TOGETHER = {
    "ray": {
        "test_driver_lost.py",
        "test_external_readers.py",
        "test_full_disk.py",
        "test_jobs_on_ray.py",
        "test_label_command.py",
        "test_reading_speed.py",
        "test_runs_on_ray.py",
        "test_several_nodes.py",
        "test_training_on_ray.py",
    },
    "label-studio": {"test_review_in_browser.py", "test_review_with_label_studio.py"},
    "readme": {"test_readme.py"},
    "recipe": {"test_recipe.py"},
}

pytest_plugins = ["object_store"]

SHARED = Path(__file__).resolve().parents[2] / "shared"


def group_of(file: str) -> str:
    """What a file of that name shares with others; else the file itself."""
    return next((group for group, files in TOGETHER.items() if file in files), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first: a run in several processes ends with what is short."""
    items.sort(key=lambda item: [*TOGETHER, group_of(item.path.name)].index(group_of(item.path.name)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """In a run in several processes a group stays with one of them."""
    # Marks of pytest-xdist's own (loadgroup) need names of tests that pytest 9.2 no longer lets it change.
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(Path(nodeid.partition("::")[0]).name)

    return Groups(config, log)


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
