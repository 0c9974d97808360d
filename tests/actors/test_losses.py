"""What is told of a labeller that was lost, and whether its work is to blame, out of Ray's exceptions."""

from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError

import actors.losses
from actors.losses import Loss, loss_of, own_line

OWN, OTHER, GONE = "own", "other", "gone"
UNAVAILABLE = ActorUnavailableError("RpcError: connection reset", bytes(16))


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's own host, another one, and one that Ray takes for dead."""
    nodes = [{"NodeID": name, "Alive": name != GONE} for name in (OWN, OTHER, GONE)]
    context = SimpleNamespace(get_node_id=lambda: OWN)
    stand_in = SimpleNamespace(nodes=lambda: nodes, get_runtime_context=lambda: context)
    monkeypatch.setattr(actors.losses, "ray", stand_in)


@pytest.mark.parametrize(("node_id", "with_host"), [(OTHER, True), (GONE, True), (None, True), (OWN, False)])
def test_who_answers_no_longer_may_have_lost_its_host_but_not_that_of_the_driver(
    node_id: str | None, with_host: bool
) -> None:
    why = "it is out of reach" if with_host else "its process answers no longer"
    assert loss_of(UNAVAILABLE, node_id) == Loss(why, with_host)


@pytest.mark.parametrize(
    ("node_id", "with_host"), [(OTHER, False), (GONE, True), (None, False), (OWN, False)]
)
def test_a_process_that_died_is_blamed_on_its_work_unless_its_host_is_gone(
    node_id: str | None, with_host: bool
) -> None:
    loss = loss_of(ActorDiedError(), node_id)
    assert loss.with_host is with_host
    assert "\n" not in loss.why


def test_of_a_long_report_the_sentence_that_tells_is_kept() -> None:
    class Report(ActorDiedError):
        def __str__(self) -> str:
            return (
                "The actor died unexpectedly before finishing this task.\n\tclass_name: Labeller\n"
                "Worker exit detail: Worker unexpectedly exits with signal 9. Some common causes: (1)"
            )

    assert loss_of(Report(), OTHER).why == "its process died: Worker unexpectedly exits with signal 9."


def test_of_a_traceback_the_exceptions_own_line_is_kept() -> None:
    text = 'Traceback (most recent call last):\n  File "a.py", line 3\nlayers.ShapeError: 7 x 7\nsee above'
    assert own_line(RuntimeError(text)) == "layers.ShapeError: 7 x 7"
    assert own_line(RuntimeError("")) == "RuntimeError"
