"""A job's settings, checked completely before anything is started: places, names, what the cluster can give.

What pydantic checks (types, ranges, unknown keys) is done before. Looks at files, so it runs in a thread.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.errors import UsageError
from fo1_data.labelling.word_lists import read_phrases
from fo1_data.storage.addresses import is_web
from schemas.jobs import RunConfig
from services.problems import Problem, field_errors, told
from services.storage_roots import OutsideRoots, StorageRoots

BUNDLED = "fo1-tiny"
_PROPOSERS = ("auto", "corpus", BUNDLED)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_MODEL_FILE = "config.json"
FORBIDDEN, ABSENT = 403, 404
_MOST_FIT = 1e9


@dataclass(frozen=True)
class Finding:
    """What is wrong with a setting, and the status of HTTP that says so."""

    field: str
    message: str
    status: int = 422


def check_config(given: RunConfig, roots: StorageRoots) -> RunConfig:
    """The settings with every place absolute. Raises a Problem that names all that is wrong.

    Its status is 403 where a place may not be touched, 404 where nothing is there, else 422.
    """
    checked: dict[str, Any] = {}
    findings = list(_findings(given, roots, checked))
    if not findings:
        try:
            return RunConfig.model_validate({**given.model_dump(), **checked})
        except ValidationError as error:
            errors = field_errors(error.errors())
            raise Problem(422, told(errors), errors=errors) from None
    errors = [{"field": one.field, "message": one.message} for one in findings]
    raise Problem(min(one.status for one in findings), told(errors), errors=errors)


def refuse_unplaceable(config: RunConfig, nodes: list[dict[str, float]]) -> None:
    """Raise a Problem of 422 where the least number of labellers never fits on `nodes`, even alone."""
    least, _ = config.actor_range
    gpus = config.gpus_per_actor or 0.0
    fits = sum(_fits(node, config.cpus_per_actor, gpus) for node in nodes)
    if fits < least:
        each = f"{config.cpus_per_actor:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
        message = f"the cluster can never hold {least} labellers with {each} each: {fits} fit"
        raise Problem(422, f"actors: {message}", errors=[{"field": "actors", "message": message}])


def this_machine() -> list[dict[str, float]]:
    """What a local Ray will have: this machine's cores and NVIDIA devices."""
    gpus = sum(bool(re.fullmatch(r"nvidia\d+", path.name)) for path in Path("/dev").glob("nvidia*"))
    return [{"CPU": float(os.cpu_count() or 1), "GPU": float(gpus)}]


def _fits(node: dict[str, float], cpus: float, gpus: float) -> int:
    ways = [node.get("CPU", 0.0) / cpus]
    if gpus:
        ways.append(node.get("GPU", 0.0) / gpus)
    return int(min(*ways, _MOST_FIT) + 1e-9)


def _findings(config: RunConfig, roots: StorageRoots, checked: dict[str, Any]) -> Iterator[Finding]:
    for field, value in config:
        texts = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
        if any("\0" in text for text in texts):
            yield Finding(field, "text without NUL characters is needed", FORBIDDEN)
            return
    yield from _places(config, roots, checked)
    if config.address is not None:
        yield Finding("address", "jobs run on the service's own cluster: leave it out")
    if config.model != BUNDLED:
        yield from _model("model", config.model, roots, checked)
    if config.proposals not in _PROPOSERS:
        yield from _model("proposals", config.proposals, roots, checked)
    try:
        if "phrases" in checked:
            read_phrases(checked["phrases"])
        if "calibration" in checked:
            read_calibration(checked["calibration"])
    except UsageError as error:
        yield Finding("", str(error))


def _places(config: RunConfig, roots: StorageRoots, checked: dict[str, Any]) -> Iterator[Finding]:
    for field in ("corpus", "out", "parent", "calibration", "phrases"):
        given = getattr(config, field)
        if given is None:
            continue
        try:
            checked[field] = roots.check_source(given) if field == "corpus" else roots.check(given)
        except OutsideRoots as error:
            yield Finding(field, str(error), FORBIDDEN)
            continue
        if field != "out" and not roots.exists(checked[field]):
            yield Finding(field, f"nothing is at {given}", ABSENT)
            del checked[field]
    out = checked.get("out")
    if out is not None and "://" not in out and Path(out).exists() and not Path(out).is_dir():
        yield Finding("out", f"{config.out} is a file, not a folder")


def _model(field: str, given: str, roots: StorageRoots, checked: dict[str, Any]) -> Iterator[Finding]:
    local = "://" not in given and (Path(given).is_absolute() or given.startswith((".", "~")))
    if not local and _HUB_ID.fullmatch(given):
        return
    if not local and "://" not in given:
        yield Finding(
            field, f"{given} is not known: take {BUNDLED}, a folder, a URL or a hub id (owner/name)"
        )
        return
    if is_web(given):
        yield Finding(
            field, "weights and boxes are read from storage roots or by hub id, not from the web", FORBIDDEN
        )
        return
    try:
        checked[field] = roots.check(given)
    except OutsideRoots as error:
        yield Finding(field, str(error), FORBIDDEN)
        return
    place = Path(checked[field])
    if "://" not in checked[field] and not place.exists():
        yield Finding(field, f"nothing is at {given}", ABSENT)
    elif place.is_dir() and not (place / _MODEL_FILE).is_file():
        yield Finding(field, f"{given} is no checkpoint: it has no {_MODEL_FILE}")
