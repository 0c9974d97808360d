"""Bounds the pixels that are decoded ahead of the model, whatever the sizes of the images.

A reader asks for room when it knows an image's size and before it decodes. The image that the model waits for
is let in whatever its size, so that nothing waits for ever.
"""

import threading


class NotAwaited(Exception):
    """Nobody wants the image any more."""


class Ticket:
    """An image's place in the gate: the pixels it holds, whether the model waits for it, or nobody does."""

    def __init__(self) -> None:
        self.num_pixels = 0
        self.is_awaited = self.is_dropped = False


class PixelGate:
    """Holds tickets of at most `max_pixels` in all, and that of an awaited image."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._held = 0
        self._changed = threading.Condition()

    def enter(self, ticket: Ticket, num_pixels: int) -> None:
        """Wait until there is room for the pixels. Raises NotAwaited if the ticket is dropped meanwhile."""
        with self._changed:
            self._changed.wait_for(
                lambda: ticket.is_awaited or ticket.is_dropped or self._held + num_pixels <= self._max_pixels
            )
            if ticket.is_dropped:
                raise NotAwaited
            ticket.num_pixels += num_pixels
            self._held += num_pixels

    def let_in(self, ticket: Ticket) -> None:
        """The model waits for this image: let it in whatever the room."""
        with self._changed:
            ticket.is_awaited = True
            self._changed.notify_all()

    def drop(self, ticket: Ticket) -> None:
        """Let this image in no more, and free its room."""
        with self._changed:
            ticket.is_dropped = True
        self.leave(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Free the room of a ticket."""
        with self._changed:
            self._held -= ticket.num_pixels
            ticket.num_pixels = 0
            self._changed.notify_all()
