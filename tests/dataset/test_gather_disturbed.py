"""A run whose shards are gathered, disturbed at any step by deaths, late writers and a second driver."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import pytest
from gathering import (
    LIMITS,
    Crash,
    DyingStore,
    begin,
    files_of,
    finish,
    ready_groups,
    write,
    write_gathered,
)
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from fo1_data.dataset.gather import gather_group, read_groups
from fo1_data.dataset.layout import RUN
from fo1_data.dataset.shard_groups import ShardGroup
from fo1_data.storage.store import Store, open_store
from schemas.dataset import Manifest


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gathered(tmp_path_factory.mktemp("gathered") / "d")


class DisturbedRun(RuleBasedStateMachine):
    """Shards written, killed and written late; groups gathered, killed at any step, by two drivers."""

    folder: Path
    expected: Path
    count = 0

    @initialize(done=st.sets(st.integers(0, 5)))
    def start(self, done: set[int]) -> None:
        type(self).count += 1
        self.out = self.folder / str(self.count)
        self.tries = 0
        self.run = begin(self.out)
        self.groups: list[ShardGroup] = []
        for shard in done:
            write(self.out, shard, self.next_try())
        self.resume()

    def next_try(self) -> str:
        self.tries += 1
        return f"try-{self.tries}"

    @rule(shard=st.integers(0, 5))
    def write_in_time_or_late(self, shard: int) -> None:
        write(self.out, shard, self.next_try())

    @rule(shard=st.integers(0, 5))
    def kill_a_writer(self, shard: int) -> None:
        """It wrote a file and no marker."""
        path = self.out / RUN / "tries" / f"{shard:05d}-{self.next_try()}" / "train.parquet"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"a part of a file")

    @rule()
    def resume(self) -> None:
        """Another driver begins; its view of what is done is fresh."""
        self.run = begin(self.out)
        if self.run.manifest is None:
            plan, _ = self.run.plan_groups(6, LIMITS)
            self.groups += [group for group in plan.take_ready() if group not in self.groups]

    @rule(choice=st.integers(0, 9), deadly=st.integers(1, 12))
    def gather_and_die_perhaps(self, choice: int, deadly: int) -> None:
        """Of any group that some driver found complete once, so that it may be gathered already."""
        for group in self.groups[choice : choice + 1]:
            with suppress(Crash):
                gather_group(DyingStore(self.out, deadly), RUN, group, self.next_try())

    @rule(choice=st.integers(0, 9), deadly=st.integers(1, 12))
    def gather_twice_at_once(self, choice: int, deadly: int) -> None:
        for group in self.groups[choice : choice + 1]:
            other = DyingStore(self.out, deadly)

            def overtake(group: ShardGroup = group, other: Store = other) -> None:
                with suppress(Crash):
                    gather_group(other, RUN, group, self.next_try())

            gather_group(DyingStore(self.out, before_mark=overtake), RUN, group, self.next_try())

    @rule(deadly=st.integers(1, 12))
    def seal_and_die_perhaps(self, deadly: int) -> None:
        run = begin(self.out)
        if run.manifest is not None or len(run.done_shards()) < 6 or ready_groups(self.out):
            return
        run.store = DyingStore(self.out, deadly)
        with suppress(Crash):
            run.seal("made-up")

    @invariant()
    def a_manifest_is_the_whole_dataset(self) -> None:
        if (self.out / "manifest.json").exists():
            self.check(begin(self.out).manifest)

    def check(self, manifest: Manifest | None) -> None:
        assert manifest is not None
        listed = json.loads((self.expected / "manifest.json").read_text())["files"]
        assert files_of(manifest) == [(file["path"], file["sha256"]) for file in listed]
        for path, digest in files_of(manifest):
            assert hashlib.sha256((self.out / path).read_bytes()).hexdigest() == digest

    def teardown(self) -> None:
        manifest = finish(self.out)
        self.check(manifest)
        groups = read_groups(open_store(str(self.out)), RUN)
        assert sorted(groups) == [0, 3]
        self.check(manifest)


def test_every_row_comes_out_once_whatever_happens(gathered: Path, tmp_path: Path) -> None:
    machine = type("Machine", (DisturbedRun,), {"folder": tmp_path, "expected": gathered})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=15, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
