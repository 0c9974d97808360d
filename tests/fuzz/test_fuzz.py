"""A few hundred inputs of the targets of `make fuzz` at every change; and that it finds faults."""

import io
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fuzz_record import Progress, Record
from fuzz_round import ENDED, run_inputs, run_round
from fuzz_target import Runner, Target, check
from fuzz_targets import TARGETS

# Another test of this process may have left threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
# Half a second of the processor each. Targets that may end the process are left to `make fuzz`.
_NUM = {"listings": 120, "answers": 300, "reviews": 250, "requests": 30, "files": 250, "corrections": 200}
_NUM |= {"checkpoints": 200, "pulls": 5, "environment": 200, "tracks": 80, "models": 15}


@pytest.mark.parametrize("name", _NUM)
def test_properties_hold(name: str, tmp_path: Path) -> None:
    target = next(target for target in TARGETS if target.name == name)
    log = io.StringIO()
    run_inputs(target, 1, range(_NUM[name]), log, tmp_path)
    ended = [json.loads(line) for line in log.getvalue().splitlines()[1::2]]
    assert [words for _, *words in ended if len(words) > 1] == []
    assert len(ended) == _NUM[name]


def test_properties_of_packed_pixels_hold(tmp_path: Path) -> None:
    """In a process of their own, which their decoders may end."""
    target = next(target for target in TARGETS if target.name == "packed")
    progress = Progress()
    run_round(target, 1, 100, progress, tmp_path)
    assert progress.findings == {}
    assert progress.num == 100
    assert progress.outcomes["pictures"] > 10


@contextmanager
def _with_faults(folder: Path) -> Iterator[Runner]:
    """Every fourth input or so breaks the property, raises, or ends the process."""

    def run(chance: random.Random) -> str:
        way = chance.randrange(12)
        check(way != 0, "broken on purpose")
        if way == 1:
            raise KeyError("on purpose")
        return "fine"

    yield run


def _fault(chance: random.Random) -> int:
    return chance.randrange(12)


def test_faults_are_found_counted_and_repeated_by_number(tmp_path: Path) -> None:
    target = Target("faulty", "nothing", 1, _with_faults)
    record = Record(tmp_path, 3)
    for num in (10, 30):  # stopped and begun again
        record = Record(tmp_path, 3)
        run_round(target, 3, num, record.progress("faulty"), tmp_path)
        record.write()
    progress = Record(tmp_path, 3).progress("faulty")
    ways = [_fault(random.Random(f"3/faulty/{number}")) for number in range(40)]
    assert progress.num == 40
    assert progress.outcomes == {"fine": sum(way > 1 for way in ways)}
    found = {number: times for number, times, _ in progress.findings.values()}
    assert found == {ways.index(0): ways.count(0), ways.index(1): ways.count(1)}


@pytest.mark.parametrize("may_end", [True, False])
def test_an_input_that_ends_the_process_costs_only_itself(tmp_path: Path, may_end: bool) -> None:
    @contextmanager
    def begin(folder: Path) -> Iterator[Runner]:
        def run(chance: random.Random) -> str:
            if chance.random() < 0.2:
                raise SystemExit
            return "fine"

        yield run

    progress = Progress()
    run_round(Target("ending", "nothing", 1, begin, may_end), 0, 20, progress, tmp_path)
    ends = sum(random.Random(f"0/ending/{number}").random() < 0.2 for number in range(20))
    assert progress.num == 20
    assert progress.outcomes["fine"] == 20 - ends
    assert progress.outcomes[ENDED] == (ends if may_end else 0)
    assert len(progress.findings) == (0 if may_end else 1)
