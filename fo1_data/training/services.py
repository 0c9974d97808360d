"""Services that keep the curves of training runs: Weights & Biases, MLflow, Aim, by their own packages.

What a service keeps in files goes beside the run's folder unless its environment names another place: the
workers of a cluster run in a folder of their own, which is deleted. Any error of a package may be raised.
"""

import importlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class ServiceRun:
    """A run as a service knows it.

    `name`: shown; other runs may have the same. `place`: the folder that files go to. `id`: by which a
    resumed run goes on in the same one; set by the service for a new run.
    """

    name: str
    place: Path
    settings: Mapping[str, Any]
    id: str | None = None


class WandB:
    """Logs to Weights & Biases. It drops figures of steps before the last one that it has."""

    def __init__(self, run: ServiceRun) -> None:
        wandb = importlib.import_module("wandb")
        run.id = run.id or secrets.token_hex(6)
        self._run = wandb.init(
            id=run.id,
            name=run.name,
            config=dict(run.settings),
            resume="allow",
            dir=os.environ.get("WANDB_DIR") or str(run.place),
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=step)

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


class MLflow:
    """Logs to MLflow, into the experiment that its environment names."""

    def __init__(self, run: ServiceRun) -> None:
        self._mlflow = mlflow = importlib.import_module("mlflow")
        if not mlflow.is_tracking_uri_set():
            mlflow.set_tracking_uri(f"sqlite:///{run.place / 'mlflow.db'}")
        if run.id is not None:
            mlflow.start_run(run_id=run.id)  # its parameters must not change any more
            return
        run.id = mlflow.start_run(run_name=run.name).info.run_id
        mlflow.log_params({key: str(value)[:500] for key, value in run.settings.items()})

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._mlflow.log_metrics({key: float(value) for key, value in figures.items()}, step=step)

    def close(self, failed: bool) -> None:
        self._mlflow.end_run("FAILED" if failed else "FINISHED")


class Aim:
    """Logs to Aim: to the nearest repository (`.aim`) from the run's folder up, else to one beside it."""

    def __init__(self, run: ServiceRun) -> None:
        folders = (run.place, *run.place.parents)
        repository = next((folder for folder in folders if (folder / ".aim").is_dir()), run.place)
        self._run = importlib.import_module("aim").Run(
            run_hash=run.id,
            repo=str(repository),
            experiment=run.name,
            capture_terminal_logs=False,  # it would take standard output, which is for the result
        )
        run.id = self._run.hash
        self._run["settings"] = {key: str(value) for key, value in run.settings.items()}

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for key, value in figures.items():
            self._run.track(float(value), name=key, step=step)

    def close(self, failed: bool) -> None:
        self._run.close()
