"""What a labelling process says about each piece of its work: a line of the log, and a span of a trace."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fo1_data.logs import about
from fo1_data.traces import span
from schemas.images import Reject

_log = logging.getLogger("fo1.labeller")


@contextmanager
def logged(what: str, run: str, shard: str, try_id: str) -> Iterator[None]:
    """Log and trace a `with` block, and name run, shard and try in every record written meanwhile."""
    fields = {"run": run, "shard": shard, "try": try_id}
    started_s = time.perf_counter()
    with about(**fields), span(what, {f"fo1.{name}": value for name, value in fields.items()}):
        try:
            yield
        except Exception as error:
            _log.warning("%s: %s: %s", what, type(error).__name__, error)
            raise
        _log.info("%s: done in %.1f s", what, time.perf_counter() - started_s)


def log_rejects(rejects: Sequence[Reject]) -> None:
    """Write a line for each image that was rejected."""
    for reject in rejects:
        _log.info(
            "rejected: %s", reject.message, extra={"about": {"image": reject.uri, "stage": reject.stage}}
        )
