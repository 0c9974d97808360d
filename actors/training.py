"""Training on Ray Train: the loop of `fo1_data.training.run` in several workers, here or on a cluster.

Each worker is a process that computes its part of every step; torch.distributed connects them (NCCL on GPUs,
gloo on CPUs). If one is lost, all are restarted from the last state in `out`, which every node must be able
to reach; the losses equal those of an undisturbed run. An error that the user must fix is not retried.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from actors.cluster import LOCAL, chosen_address, nodes, ray_for
from fo1_data import errors
from fo1_data.errors import ClusterError, Fo1Error, StorageError, system_fault
from fo1_data.plurals import counted
from fo1_data.storage.addresses import normalise
from fo1_data.storage.store import open_store
from fo1_data.training.events import Event, StepDone, Watch, ignore
from fo1_data.training.layout import RAY
from fo1_data.training.settings import Stage, TrainConfig
from fo1_data.training.stop_signals import stop_signals
from schemas.jobs import RunConfig

if TYPE_CHECKING:
    from ray.util.queue import Queue

MAX_FAILURES = 3
# Kills the first worker once, at this step: a hook for tests.
TEST_KILL_AT = "FO1_TEST_KILL_TRAINING_AT"
# Files in `out` by which driver and workers speak; removed at the end.
_FOLDER, _REPORT, _ERROR, _STOP = RAY, "report.json", "error.json", "stop"


def train_on_ray(
    addresses: Sequence[str],
    stage: Stage,
    model: str,
    out: Path,
    config: TrainConfig,
    *,
    workers: int,
    address: str | None = None,
    cpus_per_worker: float = 1.0,
    watch: Watch = ignore,
    validation: Sequence[str] = (),
    resume_from: Path | None = None,
) -> dict[str, Any]:
    """Train with `workers` processes up to `config.steps`, resuming from `out`; returns the trainer's report.

    Each worker takes a GPU if the cluster has GPUs. `watch`: called on another thread, again for steps that
    are repeated after a lost worker. SIGINT and SIGTERM end the run after a step, saved. Raises ClusterError
    if workers cannot be placed or are lost too often, and the errors of training itself.
    """
    ray_config = RunConfig(
        corpus="-", out=str(out), address=address, actors=str(workers), cpus_per_actor=cpus_per_worker
    )
    with ray_for(ray_config):
        gpus = 1 if any(node.gpus >= 1 for node in nodes()) and config.device != "cpu" else 0
        _refuse_if_too_large(workers, cpus_per_worker, gpus)
        # Workers run in another folder than the caller.
        settings = {
            "addresses": [normalise(address) for address in addresses],
            "stage": stage,
            "model": _absolute(model),
            "out": str(out.absolute()),
            "config": config.model_dump(exclude_unset=True),
            "validation": [normalise(address) for address in validation],
            "resume_from": str(resume_from.absolute()) if resume_from is not None else None,
            "kill_at": os.environ.get(TEST_KILL_AT),
        }
        local = chosen_address(ray_config) == LOCAL
        with _event_queue(watch) as events, _stopped_by_signals(out):
            return _fit({**settings, "events": events}, workers, cpus_per_worker, gpus, local)


@contextmanager
def _event_queue(watch: Watch) -> "Iterator[Queue]":
    """A queue for events of the workers; each is passed on to `watch`."""
    from ray.exceptions import RayError
    from ray.util.queue import Queue

    # It needs room even if the workers take all CPUs.
    events = Queue(actor_options={"num_cpus": 0})

    def listen() -> None:
        with suppress(RayError):  # lost with its node: training continues without progress
            while (event := events.get()) is not None:
                watch(event)

    listener = Thread(target=listen, name="training-progress", daemon=True)
    listener.start()
    try:
        yield events
    finally:
        with suppress(RayError):
            events.put(None)
        listener.join()
        events.shutdown()


@contextmanager
def _stopped_by_signals(out: Path) -> Iterator[None]:
    """Pass a first SIGINT or SIGTERM on to the workers, by a file with its name."""
    request = out / _FOLDER / _STOP
    request.unlink(missing_ok=True)

    def write(name: str) -> None:
        request.parent.mkdir(parents=True, exist_ok=True)
        request.write_text(name, encoding="utf-8")

    with stop_signals(write):
        yield


def _fit(settings: dict[str, Any], workers: int, cpus: float, gpus: int, local: bool) -> dict[str, Any]:
    from ray.train import FailureConfig, ScalingConfig
    from ray.train import RunConfig as RayRunConfig
    from ray.train.torch import TorchTrainer

    out = Path(settings["out"])
    (out / _FOLDER / _ERROR).unlink(missing_ok=True)
    resources = {"CPU": cpus, **({"GPU": gpus} if gpus else {})}
    trainer = TorchTrainer(
        _train_worker,
        train_loop_config=settings,
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=bool(gpus), resources_per_worker=resources),
        run_config=RayRunConfig(
            name="ray-train",
            storage_path=str(out / _FOLDER),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:  # Ray wraps the errors of workers in its own types
        raise _worker_error(out) or _lost(error) from None
    error_of_worker = _worker_error(out)
    if error_of_worker is not None:
        raise error_of_worker
    report: dict[str, Any] = json.loads((out / _FOLDER / _REPORT).read_text("utf-8"))
    shutil.rmtree(out / _FOLDER, ignore_errors=True)
    return report


def _train_worker(settings: dict[str, Any]) -> None:
    """The whole run of one worker; the first worker writes its report beside the checkpoint."""
    import torch
    from ray import train as ray_train
    from ray.exceptions import RayError

    from fo1_data.training.run import train

    if not isinstance(_worker_error(Path(settings["out"])), StorageError | None):
        return  # restarted after an error that a restart cannot help
    config = TrainConfig.model_validate(settings["config"])
    out = Path(settings["out"])
    context = ray_train.get_context()
    if config.device is None and torch.cuda.is_available():
        config = config.model_copy(update={"device": f"cuda:{torch.cuda.current_device()}"})

    def watch(event: Event) -> None:
        with suppress(RayError):
            settings["events"].put(event)
        if isinstance(event, StepDone):
            _kill_for_test(settings, out, context.get_world_rank(), event.step)

    with _errors_for_the_driver(out):
        report = train(
            settings["addresses"],
            settings["stage"],
            settings["model"],
            out,
            config,
            watch,
            validation=settings["validation"],
            resume_from=Path(settings["resume_from"]) if settings["resume_from"] is not None else None,
            stop_requested=partial(_requested_stop, out),
        )
    if context.get_world_rank() == 0:
        (out / _FOLDER / _ERROR).unlink(missing_ok=True)
        _write(out, _REPORT, report)


def _requested_stop(out: Path) -> str | None:
    """The name of the signal that the driver got, if any."""
    try:
        return (out / _FOLDER / _STOP).read_text("utf-8") or None
    except FileNotFoundError:
        return None


def _kill_for_test(settings: dict[str, Any], out: Path, rank: int, step: int) -> None:
    if settings["kill_at"] is None or step != int(settings["kill_at"]) or rank != 0:
        return
    mark = out / _FOLDER / "killed"
    if not mark.exists():
        mark.touch()
        os._exit(1)


@contextmanager
def _errors_for_the_driver(out: Path) -> Iterator[None]:
    """Write an error of ours, or of the system, to `out`: Ray only passes on its own wrapping of it."""
    try:
        yield
    except Fo1Error as error:
        _write(out, _ERROR, {"kind": type(error).__name__, "message": str(error)})
        raise
    except OSError as error:
        _write(out, _ERROR, {"kind": StorageError.__name__, "message": system_fault(error)})
        raise


def _write(out: Path, name: str, document: dict[str, Any]) -> None:
    """Write the file whole or not at all: several workers may write at once and be killed meanwhile."""
    open_store(str(out / _FOLDER)).write_bytes(name, json.dumps(document).encode())


def _worker_error(out: Path) -> Fo1Error | None:
    """The error that a worker has written, if any."""
    try:
        document = json.loads((out / _FOLDER / _ERROR).read_text("utf-8"))
    except FileNotFoundError:
        return None
    kind: type[Fo1Error] = getattr(errors, document["kind"])
    return kind(document["message"])


def _lost(error: BaseException) -> ClusterError:
    line = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
    return ClusterError(f"training lost its workers more than {MAX_FAILURES} times: {line.strip()[:300]}")


def _absolute(model: str) -> str:
    """The absolute path of a model's folder; the name of a bundled model or of one on the hub."""
    from fo1_data.model.checkpoint_folder import BUNDLED

    return str(Path(model).resolve()) if model != BUNDLED and Path(model).is_dir() else model


def _refuse_if_too_large(workers: int, cpus: float, gpus: int) -> None:
    room = nodes()
    if gpus and sum(int(node.gpus) for node in room) < workers:
        raise ClusterError(
            f"{counted(workers, 'worker needs', 'workers need')} a GPU each: the cluster has "
            f"{sum(n.gpus for n in room):g}"
        )
    if sum(int(node.cpus // cpus) for node in room) < workers:
        total = sum(node.cpus for node in room)
        raise ClusterError(
            f"the cluster has {total:g} CPU: too few for {counted(workers, 'worker')} of {cpus:g}"
        )
