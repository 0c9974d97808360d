"""The protocol of a run as a model: two drivers, their labellers, and a store, one store request a step.

A state is a value; `moves` gives what may happen next, at any speed: a process may stand still as long as it
likes, so a lease may be lost at any moment. A driver labels a shard (a try writes its file, then claims the
marker), gathers the files of shards into one (writes, claims, deletes) and seals (checks its lease and reads
the markers, moves the file, writes the manifest, clears the tries). It may die at every step, or take its
labeller for dead; what it started goes on without it. Once there is a manifest, a user may try the rejects
again, which makes version 2. `Rules` are what the code does so that nothing is lost; each can be left out, to
see that it is needed. Two tries of a shard may differ: an image may be out of reach of one of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

SHARD, GROUP = 0, 1
MOST_LATE = 1  # labellers that drivers take for dead; those of dead drivers come on top
MOST_TRIES = 2  # of a driver


@dataclass(frozen=True)
class Rules:
    """own_names: a try writes where nobody else does. markers_once: a marker is created only if absent.
    claimed_first: a gatherer claims its group before it deletes the shards' files. found_in_place: a sealer
    that finds a file gone looks for it in `data/`. manifest_once: the first manifest is created only if
    absent. cleared_last: tries are cleared after the manifest.
    """

    own_names: bool = True
    markers_once: bool = True
    claimed_first: bool = True
    found_in_place: bool = True
    manifest_once: bool = True
    cleared_last: bool = True


class Mark(NamedTuple):
    """A marker: the file of the try that counts, and which rows are in it."""

    file: str
    rows: str


class Try(NamedTuple):
    """A labeller with a try of a shard or of the group. `done`: how many of its steps it has done. `file`:
    the name it writes under. `rows`: what it found; those of the group are those of the shard's file."""

    file: str
    what: int
    rows: str
    done: int = 0


class Driver(NamedTuple):
    """`step`: the next. `lease`: the number it holds. `work`: its try, until it is settled or lost.
    `marks`: the markers as they were when it began to seal; the manifest counts their rows."""

    step: str = "take the lease"
    lease: int = 0
    work: Try | None = None
    begun: int = 0
    marks: tuple[Mark | None, ...] = ()


class State(NamedTuple):
    """`files`: the files of tries: name, what they are of, and by which try of the shard their rows are.
    `marks`: which try of the shard counts, and which of the group. `data`: by which try the rows in `data/`
    are. `manifest`: its version, 0 if there is none; `counted`: by which try the rows are that it counts."""

    drivers: tuple[Driver, ...] = (Driver(), Driver())
    late: frozenset[Try] = frozenset()
    lease: int = 0
    files: frozenset[tuple[str, int, str]] = frozenset()
    marks: tuple[Mark | None, ...] = (None, None)
    data: str = ""
    manifest: int = 0
    counted: str = ""
    newest: int = 0


class Broken(Exception):
    """Rows were lost, or a run can never end."""


def moves(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """What may happen next, each with its name. Raises Broken."""
    for place, driver in enumerate(state.drivers):
        for name, after in _driver_moves(state, place, driver, rules):
            yield f"driver {place}: {name}", after
    for work in state.late:
        after, _ = _advance(state, work, rules)
        following = {_next(work)} if work.done < 2 else set()
        yield f"late {work.rows} step {work.done}", after._replace(late=(after.late - {work}) | following)
    if state.manifest == 1 and state.newest == 1:
        yield "rejects tried again", state._replace(manifest=2, newest=2)


def check(state: State) -> None:
    """Raise Broken where a finished dataset is not whole, or a newer version is gone."""
    if state.manifest and state.data != state.counted:
        raise Broken("the manifest counts other rows than there are")
    if state.manifest < state.newest:
        raise Broken("an older manifest took the place of a newer one")


def _driver_moves(state: State, place: int, driver: Driver, rules: Rules) -> Iterator[tuple[str, State]]:
    def becomes(after: State, **changes: object) -> State:
        drivers = list(after.drivers)
        drivers[place] = driver._replace(**changes)
        return after._replace(drivers=tuple(drivers))

    def ends(after: State, step: str = "dead") -> State:
        return becomes(after, step=step, lease=0, work=None, begun=0, marks=())

    if driver.step in ("done", "dead"):
        return
    yield "dies", _without_work(ends(state), driver.work)
    if driver.step == "take the lease":
        number = state.lease + 1
        taken = state._replace(lease=number)
        begins = ends(taken, "done") if state.manifest else becomes(taken, step="label", lease=number)
        yield "takes the lease", begins
    elif driver.step == "label" and driver.work is None:
        if state.lease != driver.lease:
            yield "has lost the lease", ends(state)
        waiting = [what for what in (SHARD, GROUP) if not state.marks[what]]
        if not waiting:
            yield "has labelled all", becomes(state, step="check the lease")
        elif driver.begun < MOST_TRIES:
            rows = f"{place}{driver.begun}"
            work = Try(rows if rules.own_names else "same", waiting[0], rows)
            yield f"begins {work}", becomes(state, work=work, begun=driver.begun + 1)
    elif driver.step == "label":
        work = driver.work
        assert work is not None
        after, goes_on = _advance(state, work, rules)
        settled = becomes(after, work=_next(work) if work.done < 2 else None)
        yield f"works {work}", settled if goes_on else ends(after)
        if len(state.late) < MOST_LATE and driver.begun < MOST_TRIES:
            yield f"loses {work}", becomes(state._replace(late=state.late | {work}), work=None)
    elif driver.step == "check the lease":
        is_held = state.lease == driver.lease
        yield "checks the lease", becomes(state, step="move", marks=state.marks) if is_held else ends(state)
    elif driver.step == "move":
        mark = driver.marks[GROUP]
        source = next((file for file in state.files if mark and file[:2] == (mark.file, GROUP)), None)
        if source is not None:
            after = state._replace(files=state.files - {source}, data=source[2])
            yield "moves", becomes(after, step="manifest")
        else:
            is_there = state.data and rules.found_in_place
            yield "finds the file gone", becomes(state, step="manifest") if is_there else ends(state)
        if not rules.cleared_last:
            yield "clears", becomes(state._replace(files=frozenset()), step="move")
    elif driver.step == "manifest":
        if state.manifest and rules.manifest_once:
            yield "finds a manifest", ends(state, "done")
        else:
            newest = max(1, state.newest)
            counted = driver.marks[SHARD]
            assert counted is not None
            written = state._replace(manifest=1, counted=counted.rows, newest=newest)
            yield "writes the manifest", becomes(written, step="clear")
    elif driver.step == "clear":
        yield "clears", ends(state._replace(files=frozenset()), "done")


def _advance(state: State, work: Try, rules: Rules) -> tuple[State, bool]:
    """One step of a try: it writes, it claims, and a gatherer deletes. False: its driver fails with it."""
    if work.done == 0:
        return _write(state, work)
    deletes, claims = (1, 2) if work.what == GROUP and not rules.claimed_first else (2, 1)
    if work.done == claims:
        return _claim(state, work, rules), True
    mark = state.marks[GROUP]
    is_winner = mark is not None and mark.file == work.file
    if work.done == deletes and work.what == GROUP and (is_winner or not rules.claimed_first):
        return state._replace(files=frozenset(file for file in state.files if file[1] == GROUP)), True
    return state, True


def _write(state: State, work: Try) -> tuple[State, bool]:
    if state.marks[work.what]:
        return state, True
    rows = work.rows
    if work.what == GROUP:
        mark = state.marks[SHARD]
        found = [file[2] for file in state.files if mark and file[:2] == (mark.file, SHARD)]
        if not found:
            return state, False
        rows = found[0]
    others = frozenset(file for file in state.files if file[:2] != (work.file, work.what))
    return state._replace(files=others | {(work.file, work.what, rows)}), True


def _claim(state: State, work: Try, rules: Rules) -> State:
    own = [file for file in state.files if file[:2] == (work.file, work.what)]
    there = state.marks[work.what]
    if not own or (there is not None and there.rows == work.rows):
        return state
    if there is not None and rules.markers_once:
        return state._replace(files=state.files - set(own)) if rules.own_names else state
    mark = Mark(work.file, work.rows)
    marks = (mark, state.marks[GROUP]) if work.what == SHARD else (state.marks[SHARD], mark)
    return state._replace(marks=marks)


def _next(work: Try) -> Try:
    return work._replace(done=work.done + 1)


def _without_work(state: State, work: Try | None) -> State:
    """What a dead driver's labeller does, it does late."""
    return state._replace(late=state.late | {work}) if work is not None else state
