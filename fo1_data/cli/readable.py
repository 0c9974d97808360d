"""A command's document as text for people: sections of aligned figures, and tables.

What is null or empty does not apply and is left out, and so is a section of nothing but zeros. Of a section
with very many figures, such as one for each class, the first are shown. Numbers have four significant digits;
all of them, exact, are in `--json`.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_NUM_LISTED = 8
_MOST_FIGURES = 20
# Tables are never wrapped: a terminal that is too narrow cuts or wraps the lines itself.
_WIDTH = 1000


def readable(document: Mapping[str, Any]) -> str:
    """The text of a document of JSON values."""
    return _printed(_parts("", document))


def readable_table(records: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of a table with a row for each record, under the record's name."""
    return _printed([_table(records)])


def _printed(parts: Iterable[RenderableType]) -> str:
    output = io.StringIO()
    console = Console(file=output, width=_WIDTH, highlight=False, color_system=None)
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()).strip("\n")


def _parts(title: str, document: Mapping[str, Any]) -> Iterator[RenderableType]:
    """A section of the figures of a document, then a section or table for each document in it."""
    figures = {name: text for name, value in document.items() if (text := _text(value))}
    nested = {name: value for name, value in document.items() if _is_nested(value) and value}
    if title and not any(document[name] for name in figures):
        figures = {}
    if figures:
        if title:
            yield Text(f"\n{title}")
        grid = Table.grid(padding=(0, 2))
        num_shown = len(figures) if len(figures) <= _MOST_FIGURES else _NUM_LISTED
        for name, text in islice(figures.items(), num_shown):
            grid.add_row(Text(_words(name)), Text(text))
        indent = (0, 0, 0, 2 if title else 0)
        yield Padding(grid, indent)
        if num_shown < len(figures):
            yield Padding(Text(f"and {len(figures) - num_shown} more: see --json"), indent)
    if len(nested) > 1 and all(_is_record(value) for value in nested.values()) and _are_alike(nested):
        yield Text(f"\n{title or 'parts'}") if not figures else Text("")
        yield _table({_words(name): value for name, value in nested.items()})
        return
    for name, value in nested.items():
        heading = f"{title}: {_words(name)}" if title else _words(name)
        if isinstance(value, Mapping):
            yield from _parts(heading, value)
        else:
            yield Text(f"\n{heading}")
            yield _table({str(number): record for number, record in enumerate(value, 1)})


def _table(records: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each record; a column for each member that some record has a value for."""
    texts = {name: {key: _text(value) for key, value in record.items()} for name, record in records.items()}
    columns = dict.fromkeys(key for row in texts.values() for key, text in row.items() if text)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("")
    for column in columns:
        values = [record.get(column) for record in records.values()]
        is_number = all(isinstance(value, int | float | None) for value in values)
        table.add_column(_words(column), justify="right" if is_number else "left")
    for name, row in texts.items():
        table.add_row(Text(name), *(Text(row.get(column, "")) for column in columns))
    return table


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and all(map(_is_record, value)))


def _is_record(value: Any) -> bool:
    """Whether a value is a document of plain figures, so that it fits into the row of a table."""
    return isinstance(value, Mapping) and all(
        _is_hollow(member) for member in value.values() if _is_nested(member)
    )


def _is_hollow(value: Any) -> bool:
    """Whether a document or a list of them says nothing: it is empty, or all zeros."""
    if isinstance(value, Mapping):
        return all(map(_is_hollow, value.values()))
    return not value


def _are_alike(records: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether documents share most of their members, so that one table shows them."""
    keys = [set(record) for record in records.values()]
    return 2 * len(set.intersection(*keys)) >= len(set.union(*keys))


def _text(value: Any) -> str:
    """A figure as text; empty for what does not apply, and for documents."""
    match value:
        case None | [] | "":
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
        case int():
            return f"{value:,}" if abs(value) >= 10_000 else str(value)
        case list() if not _is_nested(value):
            more = f" and {len(value) - _NUM_LISTED} more" if len(value) > _NUM_LISTED else ""
            return ", ".join(map(_text, value[:_NUM_LISTED])) + more
        case Mapping() | list():
            return ""
        case _:
            return str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
