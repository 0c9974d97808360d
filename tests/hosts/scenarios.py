"""What is done to a cluster while it labels. Each scenario begins a run on the stage and disturbs it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from hosts import Cut
from ray_hosts import HeadState, wait_for
from stage import WORKERS, Stage

from fo1_data.dataset.lease import STALE_AFTER_S

DISTURBED_AT = 0.3
SLOWER = 10


@dataclass(frozen=True)
class Scenario:
    """text: what happens. act: begins the run. repair: the host that starts anew afterwards."""

    name: str
    text: str
    act: Callable[[Stage], None]
    state: HeadState = HeadState.MEMORY
    repair: str = ""


def undisturbed(stage: Stage) -> None:
    stage.begin("undisturbed")


def cut(name: str, which: Cut, back_after_s: float | None = None) -> Callable[[Stage], None]:
    """Packets of host b are lost, for some seconds or for good."""

    def act(stage: Stage) -> None:
        stage.begin(name)
        stage.wait_for_shards(DISTURBED_AT)
        stage.network.host("b").cut(which)
        stage.changed("b", 0.0)
        if back_after_s is not None:
            time.sleep(back_after_s)
            stage.network.host("b").heal()
            stage.changed("b", 1.0)

    return act


def killed(stage: Stage) -> None:
    stage.begin("killed")
    stage.wait_for_shards(DISTURBED_AT)
    stage.network.host("b").kill()
    stage.changed("b", 0.0)


def killed_and_back(stage: Stage) -> None:
    stage.begin("killed-and-back")
    stage.wait_for_shards(DISTURBED_AT)
    stage.network.host("b").kill()
    stage.changed("b", 0.0)
    stage.ray.start_workers("b")
    stage.changed("b", 1.0)


def storeless(stage: Stage) -> None:
    stage.begin("storeless")
    stage.wait_for_shards(DISTURBED_AT)
    stage.network.host("b").cut_from(stage.store.host)
    stage.changed("b", 0.0)


def storeless_from_the_start(stage: Stage) -> None:
    stage.network.host("b").cut_from(stage.store.host)
    stage.begin("never-reaches")
    stage.changed("b", 0.0)


def slow(stage: Stage) -> None:
    stage.network.host("c").kill()
    stage.ray.start_workers("c", QUICK_IMAGE_S=str(SLOWER * stage.ray.image_s))
    stage.begin("slow")
    stage.changed("c", 1 / SLOWER)


def bystander(stage: Stage) -> None:
    """A host outside the cluster starts a Ray head: what the processors of this machine lose to a start."""
    other = stage.network.host("other")
    stage.begin("bystander", driver_on="a")
    stage.wait_for_shards(DISTURBED_AT)
    stage.ray.start_apart(other)


def head_back(name: str) -> Callable[[Stage], None]:
    """The head loses its power and returns with its disk, within Ray's patience. The driver is on host a."""

    def act(stage: Stage) -> None:
        stage.begin(name, driver_on="a")
        stage.wait_for_shards(DISTURBED_AT)
        stage.network.host("head").kill()
        stage.ray.start_head()

    return act


def head_lost(stage: Stage) -> None:
    """The head returns only when the driver, on host a, has ended. The workers start anew too."""
    stage.begin("head-late", driver_on="a")
    stage.wait_for_shards(DISTURBED_AT)
    stage.network.host("head").kill()
    for worker in WORKERS:
        stage.changed(worker, 0.0)
    wait_for(lambda: stage.driver.ended, 200, "the end of the driver")
    _start_all(stage)
    stage.begin_again()
    for worker in WORKERS:
        stage.changed(worker, 1.0)


def head_and_driver_lost(stage: Stage) -> None:
    """The command is given again once the lease of the lost driver is over, as its message says."""
    stage.begin("head-and-driver")
    stage.wait_for_shards(DISTURBED_AT)
    stage.network.host("head").kill()
    lease_ends_s = time.monotonic() + STALE_AFTER_S + 1
    for worker in WORKERS:
        stage.changed(worker, 0.0)
    _start_all(stage)
    wait_for(lambda: time.monotonic() > lease_ends_s, STALE_AFTER_S + 2, "the end of the lease")
    stage.begin_again()
    for worker in WORKERS:
        stage.changed(worker, 1.0)


def _start_all(stage: Stage) -> None:
    for worker in WORKERS:
        stage.network.host(worker).kill()
    stage.ray.start_head()
    stage.ray.start_workers(*WORKERS)


SCENARIOS = (
    Scenario("undisturbed", "three hosts label", undisturbed),
    Scenario("cut-off", "a host is cut off, both ways", cut("cut-off", Cut.BOTH), repair="b"),
    Scenario("deaf", "a host hears nothing; what it sends arrives", cut("deaf", Cut.TO), repair="b"),
    Scenario("mute", "a host is not heard; it hears all", cut("mute", Cut.FROM), repair="b"),
    Scenario("cut-and-back", "a host is cut off for 30 s", cut("cut-and-back", Cut.BOTH, 30), repair="b"),
    Scenario("cut-longer", "a host is cut off for 45 s", cut("cut-longer", Cut.BOTH, 45), repair="b"),
    Scenario("killed", "a host loses its power", killed, repair="b"),
    Scenario("killed-and-back", "a host loses its power, boots and joins again", killed_and_back),
    Scenario("slow", "a host is ten times slower", slow, repair="c"),
    Scenario("storeless", "a host no longer reaches the store", storeless, repair="b"),
    Scenario("never-reaches", "a host never reaches the store", storeless_from_the_start, repair="b"),
    Scenario("head-and-driver", "the head loses its power, with the driver", head_and_driver_lost),
    Scenario(
        "head-late", "the head loses its power for longer than Ray waits; the driver is elsewhere", head_lost
    ),
    Scenario("bystander", "a host outside the cluster starts Ray; the driver is elsewhere", bystander),
    Scenario("head", "the head loses its power and returns; the driver is elsewhere", head_back("head")),
    Scenario(
        "head-rocksdb",
        "the same; the head's state is in RocksDB on its disk",
        head_back("head-rocksdb"),
        HeadState.ROCKSDB,
    ),
    Scenario(
        "head-redis", "the same; the head's state is in Redis", head_back("head-redis"), HeadState.REDIS
    ),
)
