"""A store that some hosts do not reach ends no run; one that no host reaches does."""

from actors.store_faults import StoreFaults


def test_the_faults_of_some_hosts_are_their_own() -> None:
    faults = StoreFaults()
    for host in ("a", "a", "b"):
        assert faults.is_of_some_hosts(host, {"a", "b", "c"})
    assert not faults.is_of_some_hosts("c", {"a", "b", "c"})


def test_a_host_that_writes_again_has_no_fault() -> None:
    faults = StoreFaults()
    assert faults.is_of_some_hosts("a", {"a", "b"})
    faults.reached("a")
    assert faults.is_of_some_hosts("b", {"a", "b"})


def test_on_one_machine_every_fault_is_the_stores() -> None:
    assert not StoreFaults().is_of_some_hosts("a", {"a"})
