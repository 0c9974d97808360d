"""The training images that a run meets and leaves out, and why. Imports no torch."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_NUM_NAMED = 3


@dataclass
class LeftOut:
    """What one worker has met so far, also before the run was resumed.

    `validated`: ids of images that are validated on; `unusable`: by name of an image, the reason why it could
    not be used; `num_met`: how often an unusable one was met.
    """

    validated: set[str] = field(default_factory=set)
    unusable: dict[str, str] = field(default_factory=dict)
    num_met: int = 0

    def meet_unusable(self, name: str, reason: str) -> None:
        """Count an image that cannot be used now; a later step may read it."""
        self.unusable[name] = reason
        self.num_met += 1

    def add(self, others: "Iterable[LeftOut]") -> "LeftOut":
        """Add what other workers have met; returns itself."""
        for other in others:
            self.validated |= other.validated
            self.unusable |= other.unusable
        return self

    def state(self) -> dict[str, Any]:
        """What a resumed run is to know, for `load`."""
        return {"met": sorted(self.validated), "unusable": dict(sorted(self.unusable.items()))}

    def load(self, state: dict[str, Any]) -> None:
        """Take in what the run knew; older ones did not keep all of it."""
        self.validated.update(state.get("met", ()))
        self.unusable.update(state.get("unusable", {}))

    def report(self) -> dict[str, Any]:
        """The numbers for the result of a run: by reason, the most frequent first, and names of some."""
        return {
            "left_out": len(self.validated),
            "unusable": dict(Counter(self.unusable.values()).most_common()),
            "unusable_such_as": sorted(self.unusable)[:_NUM_NAMED],
        }
