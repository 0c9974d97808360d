"""Shows how far a listing is while it goes on, once a second, from a thread of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from fo1_data.corpus.listing_progress import ListingProgress

EVERY_S = 1.0


@contextmanager
def shown_listing(show: Callable[[str], None], every_s: float = EVERY_S) -> Iterator[ListingProgress]:
    """A progress to list with during the block; `show` gets its text after each `every_s` seconds."""
    progress, ended = ListingProgress(), Event()

    def run() -> None:
        while not ended.wait(every_s):
            show(str(progress))

    clock = Thread(target=run, name="listing-progress", daemon=True)
    clock.start()
    try:
        yield progress
    finally:
        ended.set()
        clock.join()
