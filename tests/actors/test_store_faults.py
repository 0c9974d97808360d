"""A store that one host does not reach ends no run; one that two do not reach does."""

from actors.store_faults import StoreFaults


def test_the_fault_of_one_host_of_several_is_its_own() -> None:
    faults = StoreFaults()
    assert faults.is_of_one_host("a", {"a", "b"})
    assert faults.is_of_one_host("a", {"a", "b"})
    assert not faults.is_of_one_host("b", {"a", "b"})


def test_a_host_that_writes_again_has_no_fault() -> None:
    faults = StoreFaults()
    assert faults.is_of_one_host("a", {"a", "b"})
    faults.reached("a")
    assert faults.is_of_one_host("b", {"a", "b"})


def test_on_one_machine_every_fault_is_the_stores() -> None:
    assert not StoreFaults().is_of_one_host("a", {"a"})
