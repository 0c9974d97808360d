"""What is said of a labeller that was lost or raised: one line, out of exceptions of Ray, which have many."""

import re
from dataclasses import dataclass

import ray
from ray.exceptions import ActorUnavailableError, RayError

from fo1_data import errors

# In the text of a traceback, the line of the exception: `package.module.Name: message`.
_EXCEPTION_LINE = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:: .*)?")
_MOST_CHARACTERS = 300


class LabellerError(Exception):
    """An exception of a labeller that Ray could not transport: its type and message, in one line."""


@dataclass(frozen=True)
class Loss:
    """Why a labeller was lost. with_host: its host is gone or out of reach, so its work is not to blame."""

    why: str
    with_host: bool


def loss_of(error: RayError, node_id: str | None) -> Loss:
    """The loss that a failed call tells of. node_id: of the node that the labeller runs on, if it is known.

    Ray says of a labeller that answers no longer, and whose end nobody reported, that it is unavailable; on
    the driver's own host, which is not out of reach, that is a process that died on a busy machine.
    """
    if isinstance(error, ActorUnavailableError):
        if node_id == ray.get_runtime_context().get_node_id():
            return Loss("its process answers no longer", with_host=False)
        return Loss("it is out of reach", with_host=True)
    if node_id is not None and not _is_alive(node_id):
        return Loss("Ray takes its host for dead", with_host=True)
    return Loss(f"its process died: {_exit_detail(error)}", with_host=False)


def _exit_detail(error: RayError) -> str:
    """The sentence in which Ray tells how the process ended; without its list of common causes."""
    last = _lines(error)[-1]
    detail = last.partition("Worker exit detail: ")[2] or last
    return detail.partition(" Some common causes")[0][:_MOST_CHARACTERS]


def _is_alive(node_id: str) -> bool:
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return any(node["NodeID"] == node_id and node["Alive"] for node in nodes)


def first_line(error: BaseException) -> str:
    """The first line of an exception's message."""
    return errors.first_line(error)[:_MOST_CHARACTERS]


def with_type(error: Exception) -> str:
    """The first line of an exception, with its type."""
    name = "" if isinstance(error, LabellerError) else f"{type(error).__name__}: "
    return f"{name}{first_line(error)}"


def own_line(error: BaseException) -> str:
    """The line of the labeller's own exception in the text of Ray's, which ends with a traceback."""
    lines = _lines(error)
    found = next((line for line in reversed(lines) if _EXCEPTION_LINE.fullmatch(line)), lines[-1])
    return found[:_MOST_CHARACTERS]


def _lines(error: BaseException) -> list[str]:
    lines = [line.strip() for line in str(error).splitlines()]
    return [line for line in lines if line] or [type(error).__name__]
