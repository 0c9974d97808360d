"""What the labellers of a pool have done of the work in hand. The driver asks, and waits for no answer."""

import time
from collections.abc import Sequence
from contextlib import suppress

import ray
from ray.exceptions import RayError

from actors.slots import Slot
from fo1_data.labelling.work_done import WorkDone

# A question costs the driver about as much as a shard does.
ASK_EVERY_S = 1.0


class ProgressQuestions:
    """The questions of one run."""

    def __init__(self) -> None:
        self._asked_s = float("-inf")

    def done_inside(self, slots: Sequence[Slot]) -> WorkDone:
        """What is done of all work in hand, by the last answers. Of two tries of it, the first is asked."""
        counted = [
            slot
            for slot in slots
            if slot.work is not None and (slot.second is None or slot.started_s < slot.second.started_s)
        ]
        if time.monotonic() - self._asked_s >= ASK_EVERY_S:
            self._asked_s = time.monotonic()
            _ask(counted)
        return sum((slot.done for slot in counted), WorkDone())


def _ask(slots: Sequence[Slot]) -> None:
    """Take the answers that are there, and ask again."""
    pending = {slot.done_ref: slot for slot in slots if slot.done_ref is not None}
    answered = ray.wait(list(pending), num_returns=len(pending), timeout=0)[0] if pending else []
    for ref in answered:
        slot = pending[ref]
        slot.done_ref = None
        with suppress(RayError):  # a lost labeller is settled with its work
            try_id, done = ray.get(ref)
            if slot.work is not None and try_id == slot.work.try_id:
                slot.done = done
    for slot in slots:
        if slot.done_ref is None:
            slot.done_ref = slot.actor.work_done.remote()
