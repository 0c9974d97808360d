"""TODO-DOC."""

from typing import Protocol

from schemas.dataset import RunProgress


class Watcher(Protocol):
    """Who looks on: `show` gets the figures, `note` a line for a person, `reached` the steps of the run.

    The steps: `listed`, `ray_started` (on Ray), `model_loaded`, `finished`.
    """

    def show(self, progress: RunProgress) -> None: ...

    def note(self, message: str) -> None: ...

    def reached(self, step: str) -> None: ...


class Unwatched:
    """Nobody looks on."""

    def show(self, progress: RunProgress) -> None:
        return

    def note(self, message: str) -> None:
        return

    def reached(self, step: str) -> None:
        return
