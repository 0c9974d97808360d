"""A job's settings, checked completely before anything is started: places, names, what the cluster can give.

What pydantic checks (types, ranges, unknown keys) is done before. Looks at files, so it runs in a thread.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fo1_data.corpus.addresses import is_web
from fo1_data.errors import UsageError
from fo1_data.labelling import read_phrases
from schemas.jobs import RunConfig
from services.problems import Problem, told
from services.storage_roots import OutsideRoots, StorageRoots

BUNDLED = "fo1-tiny"
_PROPOSERS = ("auto", "corpus", BUNDLED)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_MODEL_FILE = "config.json"


def check_config(config: RunConfig, roots: StorageRoots) -> RunConfig:
    """The settings with every place absolute. Raises a Problem of 422 that names all that is wrong."""
    checked: dict[str, Any] = {}
    errors = [{"field": field, "message": message} for field, message in _findings(config, roots, checked)]
    if errors:
        raise Problem(422, told(errors), errors=errors)
    return config.model_copy(update=checked)


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
    return int(min(ways) + 1e-9)


def _findings(config: RunConfig, roots: StorageRoots, checked: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for field, value in config:
        if any(
            "\0" in text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)
        ):
            yield field, "text without NUL characters is needed"
            return
    yield from _places(config, roots, checked)
    if config.address is not None:
        yield "address", "jobs run on the service's own cluster: leave it out"
    if config.model != BUNDLED:
        yield from _model("model", config.model, roots, checked)
    if config.proposals not in _PROPOSERS:
        yield from _model("proposals", config.proposals, roots, checked)
    try:
        if "phrases" in checked:
            read_phrases(checked["phrases"])
    except UsageError as error:
        yield "", str(error)


def _places(config: RunConfig, roots: StorageRoots, checked: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for field in ("corpus", "out", "parent", "calibration", "phrases"):
        given = getattr(config, field)
        if given is None:
            continue
        try:
            checked[field] = roots.check_source(given) if field == "corpus" else roots.check(given)
        except OutsideRoots as error:
            yield field, str(error)
            continue
        if field != "out" and not roots.exists(checked[field]):
            yield field, f"nothing is at {given}"
            del checked[field]
    out = checked.get("out")
    if out is not None and "://" not in out and Path(out).exists() and not Path(out).is_dir():
        yield "out", f"{config.out} is a file, not a folder"


def _model(field: str, given: str, roots: StorageRoots, checked: dict[str, Any]) -> Iterator[tuple[str, str]]:
    local = "://" not in given and (Path(given).is_absolute() or given.startswith((".", "~")))
    if not local and _HUB_ID.fullmatch(given):
        return
    if not local and "://" not in given and field == "model":
        yield field, f"{given} is not known: take {BUNDLED}, a folder, a URL or a hub id (owner/name)"
        return
    if is_web(given):
        yield field, "weights and boxes are read from storage roots or by hub id, not from the web"
        return
    try:
        checked[field] = roots.check(given)
    except OutsideRoots as error:
        yield field, str(error)
        return
    place = Path(checked[field])
    if "://" not in checked[field] and not place.exists():
        yield field, f"nothing is at {given}"
    elif place.is_dir() and not (place / _MODEL_FILE).is_file():
        yield field, f"{given} is no checkpoint: it has no {_MODEL_FILE}"
