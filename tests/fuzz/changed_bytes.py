"""Bytes as a broken disk, download or program leaves them."""

import random
import struct
from collections.abc import Callable


def changed_bytes(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Some changes, or none. `other`: what parts are taken of."""
    for _ in range(chance.choice((0, 1, 1, 1, 2, 4))):
        data = _changed_once(data, other, chance) if data else data
    return data


def _changed_once(data: bytes, other: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(min(len(data), chance.choice((16, 64, 10_000))))
    before, after = data[:place], data[place:]
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: before,
        lambda: before + bytes([after[0] ^ (1 << chance.randrange(8))]) + after[1:],
        lambda: before + bytes([chance.randrange(256)]) + after[1:],
        lambda: before + after[chance.randrange(1, 9) :],
        lambda: before + other[place : place + chance.randrange(1, 40)] + after,
        lambda: other[: chance.choice((2, 4, 8, 16, 32))] + data[8:],
        lambda: before + bytes(chance.randrange(1, 64)) + after,
        lambda: data + other,
        lambda: before + _number(chance) + after[4:],
        lambda: before + _number(chance)[:2] + after[2:],
    )
    return chance.choice(ways)()


def _number(chance: random.Random) -> bytes:
    """A number of four bytes, as a size or an offset."""
    number = chance.choice(
        (0, 1, 255, 0x7FFFFFFF, 0xFFFFFFFF, chance.randrange(2**32), chance.randrange(4000))
    )
    return struct.pack(chance.choice(("<I", ">I")), number)


def changed_anywhere(data: bytes, chance: random.Random) -> bytes:
    """One to four changes, each anywhere in a file whose ends say what lies between them."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        span = chance.choice((len(changed), min(len(changed), 400)))
        place = len(changed) - 1 - chance.randrange(span) if changed else 0
        way = chance.randrange(5)
        if way == 0:
            del changed[place:]
        elif way == 1:
            changed[place : place + 4] = _number(chance)
        elif way == 2:
            del changed[place : place + chance.randrange(1, 9)]
        elif changed:
            changed[place] = chance.randrange(256)
    return bytes(changed)
