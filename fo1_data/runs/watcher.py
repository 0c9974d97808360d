"""Who is informed while a run works."""

from typing import Protocol

from schemas.progress import RunProgress


class Watcher(Protocol):
    """Is informed while a run works: `show` gets the progress, `note` a line for a person, `reached` the name
    of a step of the run: `listed`, `ray_started` (on Ray), `model_loaded`, `finished`. `show_listing` gets
    the count of what is listed, on another thread.
    """

    def show(self, progress: RunProgress) -> None: ...

    def show_listing(self, text: str) -> None: ...

    def note(self, message: str) -> None: ...

    def reached(self, step: str) -> None: ...


class Unwatched:
    """Informs nobody."""

    def show(self, progress: RunProgress) -> None:
        return

    def show_listing(self, text: str) -> None:
        return

    def note(self, message: str) -> None:
        return

    def reached(self, step: str) -> None:
        return
