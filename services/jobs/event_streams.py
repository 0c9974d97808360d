"""The events of jobs for all streams of this process, however many: one look at the database serves all.

`JobEvents` looks twice a second at the jobs that are watched and keeps their newest events; a stream reads
from there, and older events from the database once. A stream ends with its job, when its key is revoked and
when the service stops.
"""

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.exc import SQLAlchemyError

from services.background import Loop
from services.database.engine import Database
from services.database.models import ApiKey, Job, JobEvent
from services.jobs.states import JobState
from services.problems import Problem

EVERY_S = 0.5
KEEP_ALIVE_S = 15.0
_PAGE = 200
_KEPT = 500
_Event = tuple[int, str]


@dataclass(eq=False)
class _Watched:
    """A job that streams read. `newest`: its last events, all those after `newest_from`, up to `last_id`."""

    job_id: str
    last_id: int
    newest_from: int
    ended: bool
    num_streams: int = 0
    newest: deque[_Event] = field(default_factory=deque)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass(eq=False)
class EventStream:
    """An open stream of a key. Call `close` when it is not read any more."""

    events: "JobEvents"
    watched: _Watched
    key_id: str
    after: int
    open: bool = True

    def close(self) -> None:
        """End the stream."""
        self.open = False
        self.events.forget(self)

    async def lines(self) -> AsyncIterator[str]:
        """Yield the events after `after` as server-sent events, and comments while there are none."""
        yield "retry: 2000\n\n"
        while self.open:
            changed = self.watched.changed
            try:
                news = await self.events.after(self.watched, self.after)
            except SQLAlchemyError:
                return  # the client asks again
            for event_id, text in news:
                self.after = event_id
                yield text
            if news:
                continue
            if self.watched.ended:
                return
            try:
                await asyncio.wait_for(changed.wait(), KEEP_ALIVE_S)
            except TimeoutError:
                yield ": still here\n\n"


class JobEvents:
    """Run its `loop`; `open` makes a stream. `max_streams_per_key`: how many a key may have open."""

    def __init__(self, database: Database, max_streams_per_key: int) -> None:
        self._database, self._max = database, max_streams_per_key
        self._watched: dict[str, _Watched] = {}
        self._streams: set[EventStream] = set()
        self._closing = False
        self.loop = Loop("events", self.look, EVERY_S)

    @property
    def num_streams(self) -> int:
        """The number of open streams."""
        return len(self._streams)

    async def open(self, job_id: str, key_id: str, after: int) -> EventStream | None:
        """Return a stream of the events after the id `after`; None if the job has ended and has no more.

        Raises a Problem: of 404 if there is no such job, of 429 if the key has too many streams.
        """
        found = await self._database.read(lambda connection: _states(connection, [job_id]))
        if not found:
            raise Problem(404, f"no job has the id {job_id}")
        _, ended, last_id = found[0]
        if ended and last_id <= after:
            return None
        if Counter(stream.key_id for stream in self._streams)[key_id] >= self._max:
            detail = f"this key has {self._max} streams of events open, the most it may have"
            raise Problem(429, detail, {"Retry-After": "5"})
        if self._closing:
            raise Problem(503, "the service is stopping", {"Retry-After": "5"})
        watched = self._watched.setdefault(job_id, _Watched(job_id, last_id, last_id, ended))
        watched.num_streams += 1
        stream = EventStream(self, watched, key_id, after)
        self._streams.add(stream)
        return stream

    def forget(self, stream: EventStream) -> None:
        """Take a stream off the list."""
        if stream in self._streams:
            self._streams.remove(stream)
            stream.watched.num_streams -= 1
            if not stream.watched.num_streams:
                self._watched.pop(stream.watched.job_id, None)

    def close(self) -> None:
        """End all streams, now and for good."""
        self._closing = True
        self._end(list(self._streams))

    async def look(self) -> bool:
        """Look at the database once; wake the streams whose job has news. Returns False."""
        if self._streams:
            jobs = {job_id: watched.last_id for job_id, watched in self._watched.items()}
            keys = {stream.key_id for stream in self._streams}
            states, events, valid = await self._database.read(
                lambda connection: _news(connection, jobs, keys)
            )
            revoked = keys - valid
            self._end([stream for stream in self._streams if stream.key_id in revoked])
            for job_id, watched in self._watched.items():
                if job_id in jobs:
                    _update(watched, states.get(job_id), events.get(job_id, []))
        return False

    async def after(self, watched: _Watched, event_id: int) -> list[_Event]:
        """Return events of a job after `event_id`, in order: some of them if they are many."""
        if event_id >= watched.last_id:
            return []
        if event_id >= watched.newest_from:
            return [event for event in watched.newest if event[0] > event_id]
        job_id = watched.job_id
        return await self._database.read(lambda connection: _events(connection, job_id, event_id))

    def _end(self, streams: Iterable[EventStream]) -> None:
        for stream in list(streams):
            stream.open = False
            stream.watched.wake()


def _update(watched: _Watched, state: tuple[bool, int] | None, events: list[_Event]) -> None:
    ended, last_id = state if state is not None else (True, watched.last_id)
    events = [event for event in events if event[0] > watched.last_id]  # it may be watched anew since
    if events:
        watched.newest.extend(events)
        watched.last_id = events[-1][0]
        while len(watched.newest) > _KEPT:
            watched.newest_from = watched.newest.popleft()[0]
    # A job has ended for its streams only when they have all its events.
    changed = bool(events) or ended != watched.ended
    watched.ended = ended and watched.last_id >= last_id
    if changed:
        watched.wake()


def _news(
    connection: Connection, jobs: dict[str, int], keys: set[str]
) -> tuple[dict[str, tuple[bool, int]], dict[str, list[_Event]], set[str]]:
    """Return the states of jobs, their events after the ids in `jobs`, and which of `keys` are valid."""
    states = {job_id: (ended, last_id) for job_id, ended, last_id in _states(connection, list(jobs))}
    events = {
        job_id: _events(connection, job_id, jobs[job_id])
        for job_id, (_, last_id) in states.items()
        if last_id > jobs[job_id]
    }
    valid = {row[0] for row in connection.execute(_VALID_KEYS, {"key_ids": list(keys)})}
    return states, events, valid


def _states(connection: Connection, job_ids: list[str]) -> list[tuple[str, bool, int]]:
    """Return id, whether it has ended, and id of the last event of each job."""
    rows = connection.execute(_STATES, {"job_ids": job_ids})
    return [(row[0], JobState(row[1]).is_end, row[2] or 0) for row in rows]


def _events(connection: Connection, job_id: str, after: int) -> list[_Event]:
    rows = connection.execute(_EVENTS, {"job_id": job_id, "after": after, "limit": _PAGE})
    return [(row.id, _text(row)) for row in rows]


def _text(row: Any) -> str:
    data = json.dumps({**row.data, "at": row.at.isoformat()})
    return f"id: {row.id}\nevent: {row.kind}\ndata: {data}\n\n"


_LAST_ID = select(func.max(JobEvent.id)).where(JobEvent.job_id == Job.id).correlate(Job).scalar_subquery()
_STATES = select(Job.id, Job.state, _LAST_ID).where(Job.id.in_(bindparam("job_ids", expanding=True)))
_EVENTS = (
    select(JobEvent.id, JobEvent.kind, JobEvent.data, JobEvent.at)
    .where(JobEvent.job_id == bindparam("job_id"), JobEvent.id > bindparam("after"))
    .order_by(JobEvent.id)
    .limit(bindparam("limit"))
)
_VALID_KEYS = select(ApiKey.id).where(
    ApiKey.id.in_(bindparam("key_ids", expanding=True)), ApiKey.revoked_at.is_(None)
)
