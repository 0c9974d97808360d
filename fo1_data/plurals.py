"""A number with its noun, for messages and pages: `1 shard`, `1,200 shards`."""


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """`number`, with thousands separated, and the noun in the form that the number takes.

    `plural`: the noun for every number but 1; by default `singular` with an s.
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
