"""The data that lies beside the project; tests that need it skip, saying so, where it is absent."""

import os
from pathlib import Path

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

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For runs in several processes: a file stays with one of them, and what takes longest comes first."""
    groups = {
        item.path: next((name for name, files in TOGETHER.items() if item.path.name in files), item.path.name)
        for item in items
    }
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item.path]))
    items.sort(key=lambda item: [*TOGETHER, groups[item.path]].index(groups[item.path]))


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
