"""Which tests are slow, which may not run at once, and the data beside the project.

Tests that need that data are skipped, with a message, if it is absent.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# As many processes run as there are cores. More threads of OpenMP wait for one another in loops: the
# tests of the trainer took 8 times the processor time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A process keeps the first token that its Ray was given, and refuses to start one with another token.
os.environ.setdefault("RAY_AUTH_TOKEN", "0" * 64)
# How long an example takes depends on what else the machine does.
settings.register_profile("fo1", deadline=None)
settings.load_profile("fo1")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Copies of models and features of images do not go to the user's cache, and come from no earlier run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FO1_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def unraisable_hook() -> Iterator[None]:
    """Give pytest back what no handler takes: a command that a test runs in this process takes it."""
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook


# Files of a group run in one process, because two must not start what they start at once; groups come
# first, because they take longest.
TOGETHER = {
    "ray": {
        "test_driver_lost.py",
        "test_external_readers.py",
        "test_full_disk.py",
        "test_gpu_shares.py",
        "test_jobs_on_ray.py",
        "test_label_command.py",
        "test_pieces_on_ray.py",
        "test_progress_inside_shards.py",
        "test_reading_speed.py",
        "test_runs_on_ray.py",
        "test_several_nodes.py",
        "test_training_on_ray.py",
        "test_videos_on_ray.py",
        "test_two_services.py",
    },
    "label-studio": {
        "test_dicom_says_nothing.py",
        "test_honeypots_with_label_studio.py",
        "test_killed_service_with_label_studio.py",
        "test_large_images_with_label_studio.py",
        "test_masks_with_label_studio.py",
        "test_review_belief_with_label_studio.py",
        "test_review_in_browser.py",
        "test_review_with_label_studio.py",
        "test_tracks_with_label_studio.py",
    },
    "readme": {"test_readme.py"},
    "stand-in": {"test_stand_in_device.py"},
    "recipe": {"test_recipe.py"},
    "package": {"test_package.py"},
    "api": {"test_public_api.py"},
}

# Files that `make quick` leaves out, besides those of the groups and tests marked `slow`: they train, start
# processes, servers or browsers, or take more than about ten seconds of CPU time.
SLOW = {
    "test_adapters.py",
    "test_benchmarks_end_to_end.py",
    "test_checked_before_loading.py",
    "test_confidence_proof.py",
    "test_dashboard.py",
    "test_database.py",
    "test_detector_zoo.py",
    "test_dicom_says_nothing.py",
    "test_distractors.py",
    "test_engine_answers.py",
    "test_engine_speed.py",
    "test_evaluate_and_train_commands.py",
    "test_examples_and_questions.py",
    "test_export_for_trl.py",
    "test_faults.py",
    "test_killed_writer.py",
    "test_locked_rows.py",
    "test_reading.py",
    "test_real_corpora.py",
    "test_report_in_browser.py",
    "test_review_outages.py",
    "test_route_commands.py",
    "test_schemathesis.py",
    "test_second_questions.py",
    "test_storage.py",
    "test_stores.py",
    "test_trainer.py",
    "test_transformers_detector.py",
    "test_workers.py",
}

pytest_plugins = ["object_store"]

SHARED = Path(__file__).resolve().parents[2] / "shared"


def group_of(file: str) -> str:
    """The group of a file of that name; the file itself if it is in none."""
    return next((group for group, files in TOGETHER.items() if file in files), file)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import slow files where only quick tests run."""
    name = collection_path.name
    is_slow = name in SLOW or group_of(name) in TOGETHER
    return True if is_slow and config.getoption("markexpr") == "not slow" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by group, so that a run in several processes ends with what is short."""
    items.sort(key=lambda item: [*TOGETHER, group_of(item.path.name)].index(group_of(item.path.name)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep a group in one process of a parallel run."""
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
