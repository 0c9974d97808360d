"""Every state that two drivers, lost labellers and late writers can bring a run to: nothing is lost in any.

Exhaustive for the model in `protocol_model`. Leaving out one rule of the protocol must break it: else the
model would prove nothing. The code itself is disturbed in `tests/dataset/test_gather_disturbed.py`.
"""

import dataclasses
from collections import deque

import pytest
from protocol_model import Broken, Driver, Rules, State, check, moves

DEAD = Driver(step="dead")


def explore(rules: Rules) -> set[State]:
    """All states that can come. Raises Broken, with the way there, if one of them is wrong."""
    came_from: dict[State, tuple[State, str] | None] = {State(): None}
    waiting, can_end = deque([State()]), {}
    while waiting:
        state = waiting.popleft()
        try:
            check(state)
            in_store = state._replace(drivers=(DEAD, DEAD, Driver()), late=frozenset(), lease=0)
            if in_store not in can_end:
                can_end[in_store] = finish(in_store, rules)
        except Broken as broken:
            raise Broken(f"{broken}: {'; '.join(way_to(state, came_from))}") from None
        for name, after in moves(state, rules):
            if after not in came_from:
                came_from[after] = (state, name)
                waiting.append(after)
    return set(came_from)


def finish(state: State, rules: Rules) -> State:
    """What a driver makes of a folder, alone and undisturbed. Raises Broken if it does not end."""
    while state.drivers[-1].step != "done":
        undisturbed = [
            after for name, after in moves(state, rules) if name.split()[2] not in ("dies", "loses", "tried")
        ]
        if not undisturbed or state.drivers[-1].step == "dead":
            raise Broken("no driver can end this run")
        state = undisturbed[0]
        check(state)
    return state


def way_to(state: State, came_from: dict[State, tuple[State, str] | None]) -> list[str]:
    names = []
    while (step := came_from[state]) is not None:
        state, name = step
        names.append(name)
    return names[::-1]


def test_no_way_through_the_protocol_loses_anything() -> None:
    states = explore(Rules())
    assert len(states) > 10_000
    assert any(state.manifest == 2 and state.drivers[0].step in ("manifest", "clear") for state in states)


@pytest.mark.parametrize("rule", [field.name for field in dataclasses.fields(Rules)])
def test_each_rule_is_needed(rule: str) -> None:
    with pytest.raises(Broken):
        explore(Rules(**{rule: False}))
