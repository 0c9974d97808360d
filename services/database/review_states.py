"""The states of reviews, of their items, and of what people said of an item."""

from enum import StrEnum


class ReviewState(StrEnum):
    """`PREPARING`: items are being written. `OPEN`: all items are in Label Studio. `FAILED` is an end until
    the review is pushed again."""

    PREPARING = "preparing"
    PUSHING = "pushing"
    OPEN = "open"
    FAILED = "failed"


class ItemState(StrEnum):
    """The outbox of one item. `SENDING`: a request may be under way. `REFUSED`: the item's error says why.
    `GONE`: its LsTask was deleted in Label Studio."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"
    GONE = "gone"


class AnnotationState(StrEnum):
    """The latest state of one person's annotation. `CANCELLED`: skipped. `UNREADABLE`: it cannot be
    understood, its error says why."""

    SUBMITTED = "submitted"
    CANCELLED = "cancelled"
    DELETED = "deleted"
    UNREADABLE = "unreadable"
