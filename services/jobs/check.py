"""Checks all settings of a job before anything starts: places, names, the resources of the cluster.

Pydantic has checked types, ranges and unknown keys before. Reads files, so run it in a thread.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.errors import UsageError
from fo1_data.labelling.word_lists import read_phrases
from fo1_data.storage.addresses import is_web
from schemas.jobs import RunConfig
from services.jobs.opinion_servers import refusal
from services.problems import Problem, field_errors, field_errors_text, http_message
from services.storage_roots import OutsideRoots, StorageRoots

BUNDLED = "fo1-tiny"
_PROPOSERS = ("auto", "corpus", BUNDLED)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_MODEL_FILE = "config.json"
FORBIDDEN, NOT_FOUND = 403, 404
_MAX_LABELLERS = 1e9


@dataclass(frozen=True)
class Finding:
    """What is wrong with a setting, and the HTTP status for it."""

    field: str
    message: str
    status: int = 422


def check_config(config: RunConfig, roots: StorageRoots, opinion_servers: Sequence[str] = ()) -> RunConfig:
    """Return the settings with absolute places. Raises a Problem that names everything that is wrong.

    `opinion_servers`: the servers that may be asked for a second opinion. The problem's status is 403 if a
    place is outside the storage roots, 404 if nothing is there, else 422.
    """
    checked: dict[str, Any] = {}
    findings = list(_findings(config, roots, opinion_servers, checked))
    if not findings:
        try:
            return RunConfig.model_validate({**config.model_dump(), **checked})
        except ValidationError as error:
            errors = field_errors(error.errors())
            raise Problem(422, field_errors_text(errors), errors=errors) from None
    errors = [{"field": finding.field, "message": finding.message} for finding in findings]
    raise Problem(min(finding.status for finding in findings), field_errors_text(errors), errors=errors)


def refuse_unplaceable(config: RunConfig, nodes: list[dict[str, float]]) -> None:
    """Raise a Problem of 422 if the minimum number of labellers never fits, even if no other job runs.

    `nodes`: the resources of each node, by Ray's names (`CPU`, `GPU`).
    """
    minimum, _ = config.actor_range
    gpus = config.gpus_per_actor
    if gpus is None:  # as the driver chooses
        gpus = 1.0 if any(node.get("GPU", 0.0) >= 1 for node in nodes) else 0.0
    if gpus > 1 and not gpus.is_integer():
        message = "a labeller reserves a share of one GPU, or whole GPUs"
        raise Problem(422, f"gpus_per_actor: {message}", errors=[_error("gpus_per_actor", message)])
    capacity = sum(_labellers_on(node, config.cpus_per_actor, gpus) for node in nodes)
    if capacity < minimum:
        each = f"{config.cpus_per_actor:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
        message = f"the cluster can never hold {minimum} labellers with {each} each: {capacity} fit"
        raise Problem(422, f"actors: {message}", errors=[_error("actors", message)])


def _error(field: str, message: str) -> dict[str, str]:
    return {"field": field, "message": message}


def refuse_excess(config: RunConfig, max_actors: int, min_cpus_per_actor: float) -> None:
    """Raise a Problem of 422 if the settings ask for more labellers, or smaller ones, than a job may have."""
    _, most = config.actor_range
    errors = []
    if most > max_actors:
        errors.append({"field": "actors", "message": f"a job may have at most {max_actors} labellers"})
    if config.cpus_per_actor < min_cpus_per_actor:
        message = f"a labeller reserves at least {min_cpus_per_actor:g} CPU"
        errors.append({"field": "cpus_per_actor", "message": message})
    if errors:
        raise Problem(422, field_errors_text(errors), errors=errors)


def local_ray_resources() -> list[dict[str, float]]:
    """Return the resources of a local Ray: this machine's cores and NVIDIA devices."""
    gpus = sum(bool(re.fullmatch(r"nvidia\d+", path.name)) for path in Path("/dev").glob("nvidia*"))
    return [{"CPU": float(os.cpu_count() or 1), "GPU": float(gpus)}]


def _labellers_on(node: dict[str, float], cpus: float, gpus: float) -> int:
    limits = [node.get("CPU", 0.0) / cpus]
    if gpus:
        limits.append(node.get("GPU", 0.0) / gpus)
    return int(min(*limits, _MAX_LABELLERS) + 1e-9)


def _findings(
    config: RunConfig, roots: StorageRoots, opinion_servers: Sequence[str], checked: dict[str, Any]
) -> Iterator[Finding]:
    for field, value in config:
        parts = value if isinstance(value, list) else [value]
        if any("\0" in part for part in parts if isinstance(part, str)):
            yield Finding(field, "a text must not contain NUL characters", FORBIDDEN)
            return
    yield from _places(config, roots, checked)
    if config.address is not None:
        yield Finding("address", "jobs run on the service's own cluster: leave this field out")
    if config.model != BUNDLED:
        yield from _model("model", config.model, roots, checked)
    if config.proposals not in _PROPOSERS:
        yield from _model("proposals", config.proposals, roots, checked)
    if config.masks is not None:
        yield from _model("masks", config.masks, roots, checked)
    if config.second_opinion is not None:
        yield from _second_opinion(config.second_opinion, roots, opinion_servers, checked)
    try:
        if "phrases" in checked:
            read_phrases(checked["phrases"])
        if "calibration" in checked:
            read_calibration(checked["calibration"])
    except UsageError as error:
        yield Finding("", http_message(str(error)))


def _second_opinion(
    spec: str, roots: StorageRoots, servers: Sequence[str], checked: dict[str, Any]
) -> Iterator[Finding]:
    if is_web(spec):
        if (message := refusal(spec, servers)) is not None:
            yield Finding("second_opinion", message, FORBIDDEN)
    elif spec != BUNDLED:
        yield from _model("second_opinion", spec, roots, checked)


def _places(config: RunConfig, roots: StorageRoots, checked: dict[str, Any]) -> Iterator[Finding]:
    for field in ("corpus", "out", "parent", "calibration", "phrases"):
        place = getattr(config, field)
        if place is None:
            continue
        try:
            checked[field] = roots.check_source(place) if field == "corpus" else roots.check(place)
        except OutsideRoots as error:
            yield Finding(field, str(error), FORBIDDEN)
            continue
        if field != "out" and not roots.exists(checked[field]):
            yield Finding(field, f"nothing is at {place}", NOT_FOUND)
            del checked[field]
    out = checked.get("out")
    if out is not None and "://" not in out and Path(out).exists() and not Path(out).is_dir():
        yield Finding("out", f"{config.out} is a file, not a folder")


def _model(field: str, model: str, roots: StorageRoots, checked: dict[str, Any]) -> Iterator[Finding]:
    local = "://" not in model and (Path(model).is_absolute() or model.startswith((".", "~")))
    if not local and _HUB_ID.fullmatch(model):
        return
    if not local and "://" not in model:
        yield Finding(
            field, f"{model} is not known: take {BUNDLED}, a folder, a URL or a hub id (owner/name)"
        )
        return
    if is_web(model):
        yield Finding(
            field, "weights and boxes are read from storage roots or by hub id, not from the web", FORBIDDEN
        )
        return
    try:
        checked[field] = roots.check(model)
    except OutsideRoots as error:
        yield Finding(field, str(error), FORBIDDEN)
        return
    place = Path(checked[field])
    if "://" not in checked[field] and not place.exists():
        yield Finding(field, f"nothing is at {model}", NOT_FOUND)
    elif place.is_dir() and not (place / _MODEL_FILE).is_file():
        yield Finding(field, f"{model} is not a checkpoint: it has no {_MODEL_FILE}")
