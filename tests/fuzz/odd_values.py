"""Odd values, and changes of JSON-like documents: what people and other programs make of a valid file."""

import copy
import json
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

ODD_TEXTS = (
    "",
    " ",
    "\0",
    "NaN",
    "None",
    "null",
    "0x10",
    "1e400",
    "12,5",
    "\u0661\u0662",
    "\ud800",
    "\ufeffcat",
    "\u202egod",
    "a\nb",
    "../../etc",
    "a//b.png",
    "\u00e9\u0301\u4e2d",
    "x" * 3000,
    "%00",
    "<b>&amp;",
    "[1, 2",
    "-1",
    "true",
)
ODD_NUMBERS = (
    0,
    -1,
    1,
    2,
    0.5,
    -0.0,
    1e-9,
    1e308,
    -1e308,
    math.inf,
    -math.inf,
    math.nan,
    2**31,
    2**53 + 1,
    2**63,
    2**70,
    10**400,
    -(10**20),
)
ODD_OTHERS: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    [[], {}],
    {"": None},
    [1, 2, 3, 4],
    ["a", 1],
    {"a": {"b": [1]}},
)


def odd_value(chance: random.Random) -> Any:
    """Any of them."""
    return copy.deepcopy(chance.choice(chance.choice((ODD_TEXTS, ODD_NUMBERS, ODD_OTHERS))))


def changed_text(text: str, chance: random.Random) -> str:
    """A text as somebody types it again, or another program writes it."""
    place, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
    ways: tuple[Callable[[], str], ...] = (
        text.upper,
        text.title,
        lambda: text + "s",
        lambda: f" {text} ",
        lambda: text.replace("_", "-"),
        lambda: text.replace("/", "\\"),
        lambda: text[:place] + text[end:],
        lambda: text[:place] + chance.choice(ODD_TEXTS) + text[place:],
        lambda: text[:place] + text[place:end] * 2 + text[end:],
        lambda: text[::-1],
    )
    return chance.choice(ways)()


def changed_number(number: float, chance: random.Random) -> Any:
    """A number in another unit, form or order of size."""
    if abs(number) > 1e300:
        return chance.choice(ODD_NUMBERS)
    ways = (-number, number * 1000, number / 1000, number + 0.5, str(number), [number], f"{number} px")
    return chance.choice((*ways, chance.choice(ODD_NUMBERS)))


Place = tuple[Any, Any]


def places_of(document: Any, most: int = 400) -> list[Place]:
    """Where something stands in a document: the containers with the keys in them."""
    places: list[Place] = []
    waiting = [document]
    while waiting and len(places) < most:
        container = waiting.pop()
        keys = list(container) if isinstance(container, dict) else range(len(container))
        for key in keys:
            places.append((container, key))
            if isinstance(container[key], dict | list):
                waiting.append(container[key])
    return places


def change(document: Any, chance: random.Random, times: int) -> None:
    """Change a document of dicts and lists in place, so many times."""
    for _ in range(times):
        places = places_of(document)
        if not places:
            return
        container, key = chance.choice(places)
        if isinstance(container, dict):
            _change_member(container, key, chance, places)
        else:
            _change_item(container, key, chance, places)


def _change_member(container: dict[Any, Any], key: Any, chance: random.Random, places: list[Place]) -> None:
    way = chance.randrange(6)
    if way == 0:
        del container[key]
    elif way == 1:
        container[changed_text(str(key), chance)] = container.pop(key)
    elif way == 2:
        container[chance.choice(("extra", "", "id", "label", "meta", str(key) * 2))] = odd_value(chance)
    else:
        container[key] = _changed(container[key], chance, places)


def _change_item(container: list[Any], key: int, chance: random.Random, places: list[Place]) -> None:
    way = chance.randrange(7)
    if way == 0:
        del container[key]
    elif way == 1:
        container.insert(key, copy.deepcopy(container[key]))
    elif way == 2:
        container.insert(key, odd_value(chance))
    elif way == 3:
        chance.shuffle(container)
    else:
        container[key] = _changed(container[key], chance, places)


def _changed(value: Any, chance: random.Random, places: list[Place]) -> Any:
    way = chance.randrange(10)
    if way < 2:
        return odd_value(chance)
    if way == 2:
        other, key = chance.choice(places)
        return copy.deepcopy(other[key])
    if way == 3:
        return [value]
    if way == 4:
        return {"value": value}
    if way == 5 and isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, bool) or value is None:
        return odd_value(chance)
    if isinstance(value, int | float):
        return changed_number(value, chance)
    return changed_text(value, chance) if isinstance(value, str) else odd_value(chance)


def num_changes(chance: random.Random) -> int:
    """Mostly few, so that most of a document stays valid; sometimes none."""
    return chance.choice((0, 1, 1, 1, 2, 2, 3, 5, 10))


def texts_in(value: Any) -> Iterator[str]:
    """All texts in a document, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from texts_in(key)
            yield from texts_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts_in(part)
