"""Services that keep curves: what is sent to their packages, and that none of them ends a training.

The fakes do what wandb 0.31.0, mlflow 3.17.2 and aim 3.29.1 were seen to do offline.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fo1_data.training.loggers import open_loggers
from fo1_data.training.settings import LoggerName, TrainConfig

CONFIG = TrainConfig(loggers=(LoggerName.WANDB, LoggerName.MLFLOW, LoggerName.AIM))


class FakeServices:
    """The three packages; `runs`: figures by service and id, with their steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: dict[tuple[str, str], list[tuple[int, dict[str, float]]]] = {}
        self.ended: list[tuple[str, object]] = []
        self.places: dict[str, str] = {}
        self._active: str | None = None
        self._params: dict[str, dict[str, str]] = {}
        modules: dict[str, dict[str, Any]] = {
            "wandb": {"init": self._init_wandb},
            "mlflow": {
                "is_tracking_uri_set": lambda: False,
                "set_tracking_uri": lambda uri: self.places.update(mlflow=uri),
                "start_run": self._start_mlflow,
                "log_params": self._log_params,
                "log_metrics": lambda figures, step: self._add("mlflow", str(self._active), step, figures),
                "end_run": self._end_mlflow,
            },
            "aim": {"Run": self._open_aim},
        }
        for name, members in modules.items():
            module = ModuleType(name)
            vars(module).update(members)
            monkeypatch.setitem(sys.modules, name, module)

    def _add(self, service: str, run_id: str, step: int, figures: Mapping[str, float]) -> None:
        self.runs.setdefault((service, run_id), []).append((step, dict(figures)))

    def _init_wandb(self, *, id: str, name: str, config: Any, resume: str, dir: str) -> SimpleNamespace:
        if set(id) & set(":;,#?/'"):
            raise ValueError("Run ID cannot contain the characters: :;,#?/'")
        assert resume == "allow"
        json.dumps(config)
        self.places["wandb"] = dir
        return SimpleNamespace(
            log=lambda figures, step: self._add("wandb", id, step, figures),
            finish=lambda exit_code: self.ended.append(("wandb", exit_code)),
        )

    def _start_mlflow(self, run_id: str | None = None, run_name: str | None = None) -> SimpleNamespace:
        if self._active is not None:
            raise RuntimeError(f"Run with UUID {self._active} is already active.")
        if run_id is not None and ("mlflow", run_id) not in self.runs:
            raise RuntimeError(f"Run with id={run_id} not found")
        self._active = run_id or f"mlflow{len(self.runs)}"
        self.runs.setdefault(("mlflow", self._active), [])
        return SimpleNamespace(info=SimpleNamespace(run_id=self._active))

    def _log_params(self, params: Mapping[str, str]) -> None:
        earlier = self._params.setdefault(str(self._active), {})
        if any(earlier.get(key, value) != value for key, value in params.items()):
            raise RuntimeError("Changing param values is not allowed.")
        earlier.update(params)

    def _end_mlflow(self, status: str) -> None:
        self._active = None
        self.ended.append(("mlflow", status))

    def _open_aim(self, *, run_hash: str | None, repo: str, experiment: str, **_: Any) -> "FakeAimRun":
        if run_hash is not None and ("aim", run_hash) not in self.runs:
            raise RuntimeError(f"Cannot find Run {run_hash} in aim Repo {repo}.")
        self.places["aim"] = repo
        run = FakeAimRun(self, run_hash or f"aim{len(self.runs)}")
        self.runs.setdefault(("aim", run.hash), [])
        return run


class FakeAimRun(dict[str, Any]):
    def __init__(self, services: FakeServices, run_hash: str) -> None:
        super().__init__()
        self._services, self.hash = services, run_hash

    def track(self, value: float, name: str, step: int) -> None:
        self._services._add("aim", self.hash, step, {name: value})

    def close(self) -> None:
        self._services.ended.append(("aim", None))


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> FakeServices:
    monkeypatch.delenv("WANDB_DIR", raising=False)
    return FakeServices(monkeypatch)


def log_steps(out: Path, config: TrainConfig, steps: range) -> list[str]:
    """Log steps as a run in `out` does; returns what it told."""
    out.mkdir(parents=True, exist_ok=True)
    told: list[str] = []
    with open_loggers(out, steps.start, config, True, told.append) as loggers:
        for step in steps:
            for logger in loggers:
                logger.log(step, {"loss": float(step)})
    return told


def test_a_resumed_run_goes_on_in_the_same_one_and_another_of_the_same_name_does_not(
    services: FakeServices, tmp_path: Path
) -> None:
    """Also with another length, which is a parameter of the run."""
    told = log_steps(tmp_path / "a" / "tuned", CONFIG, range(1, 3))
    told += log_steps(tmp_path / "a" / "tuned", CONFIG.model_copy(update={"steps": 7}), range(3, 5))
    told += log_steps(tmp_path / "b" / "tuned", CONFIG, range(1, 2))
    assert told == []
    steps = [(service, [step for step, _ in figures]) for (service, _), figures in services.runs.items()]
    assert sorted(steps) == [
        *(("aim", steps) for steps in ([1], [1, 2, 3, 4])),
        *(("mlflow", steps) for steps in ([1], [1, 2, 3, 4])),
        *(("wandb", steps) for steps in ([1], [1, 2, 3, 4])),
    ]
    assert services.ended == [("wandb", 0), ("mlflow", "FINISHED"), ("aim", None)] * 3


def test_files_go_beside_the_run_whatever_folder_a_worker_runs_in(
    services: FakeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_steps(tmp_path / "runs" / "a", CONFIG, range(1, 2))
    place = tmp_path / "runs"
    assert services.places == {
        "wandb": str(place), "mlflow": f"sqlite:///{place}/mlflow.db", "aim": str(place)
    }  # fmt: skip
    (tmp_path / ".aim").mkdir()
    monkeypatch.setenv("WANDB_DIR", "/elsewhere")
    log_steps(tmp_path / "runs" / "b", CONFIG, range(1, 2))
    assert (services.places["wandb"], services.places["aim"]) == ("/elsewhere", str(tmp_path))


def test_a_service_that_fails_is_told_of_once_and_left_out(
    services: FakeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("No API key configured.\nUse `wandb login`.")

    def lose(figures: Mapping[str, float], step: int) -> None:
        raise ConnectionError("server is gone")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)
    monkeypatch.setattr(sys.modules["mlflow"], "log_metrics", lose)
    told = log_steps(tmp_path / "run", CONFIG, range(1, 4))
    assert told == [
        "wandb gets no more figures of this run (No API key configured.); losses.jsonl has all of them",
        "mlflow gets no more figures of this run (server is gone); losses.jsonl has all of them",
    ]
    assert services.ended == [("aim", None)]
    assert [step for step, _ in services.runs["aim", "aim1"]] == [1, 2, 3]


def test_a_run_that_fails_is_marked_as_failed(services: FakeServices, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with (
        pytest.raises(ArithmeticError),
        open_loggers(tmp_path / "run", 0, CONFIG, True, lambda text: None),
    ):
        raise ArithmeticError
    assert services.ended == [("wandb", 1), ("mlflow", "FAILED"), ("aim", None)]
