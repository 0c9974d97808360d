"""What the help and `docs/settings.md` say about each setting, read from the settings models.

Descriptions, ranges and defaults stand in the models alone (`schemas.jobs.RunConfig`,
`fo1_data.training.settings.TrainConfig`, `services.settings.Settings`). Checks no value.
"""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from schemas.setting_marks import setting_of

_KIND_NAMES = {
    int: "integer",
    float: "number",
    bool: "true or false",
    dict: "table of numbers",
    Path: "path",
    SecretStr: "secret text",
}
_MEBIBYTE = 2**20


@dataclass(frozen=True)
class SettingText:
    """One setting in words. `default`: its value, or what no value means; None: nothing says.

    `value_type`: `str`, `int`, `float`, `bool` or `dict`; a list and a path are a `str` of the command line.
    """

    name: str
    group: str | None
    description: str
    value_type: type
    is_list: bool
    choices: tuple[str, ...]
    range: str | None
    default: str | None
    required: bool

    @property
    def kind(self) -> str:
        """The kind of its values, such as `integer` or `list of text`."""
        kind = "text" if self.value_type is str else _KIND_NAMES[self.value_type]
        return f"list of {kind}" if self.is_list else kind

    @property
    def unnamed_choices(self) -> bool:
        """Whether there are values to choose from that the description does not name."""
        return any(f"`{choice}`" not in self.description for choice in self.choices)

    @property
    def help(self) -> str:
        """The description, then the values or range and the default, for `--help`."""
        parts = [self.description]
        if self.unnamed_choices:
            parts.append(f"{'Any' if self.is_list else 'One'} of {', '.join(self.choices)}.")
        if self.is_list:
            parts.append("Separate them by commas.")
        if self.range:
            parts.append(f"Range: {self.range}.")
        if self.required:
            parts.append("Required, here or in --config.")
        elif self.default and self.value_type is not bool:
            parts.append(f"Default: {self.default}.")
        return " ".join(parts)


def setting_texts(model: type[BaseModel]) -> Iterator[SettingText]:
    """The settings of a model, in the order of its fields."""
    for name, field in model.model_fields.items():
        value_type, is_list, choices = _values_of(field.annotation)
        group = setting_of(field).group
        description, _, meaning_of_none = (field.description or "").partition(" Default: ")
        yield SettingText(
            name=name,
            group=group.value if group else None,
            description=description,
            value_type=value_type,
            is_list=is_list,
            choices=choices,
            range=_range_of(field),
            default=meaning_of_none.removesuffix(".") or _default_of(name, field),
            required=field.is_required(),
        )


def _values_of(annotation: Any) -> tuple[type, bool, tuple[str, ...]]:
    """The type of one value, whether it is a list of them, and the values to choose from."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _values_of(next(part for part in arguments if part is not type(None)))
    if origin in (list, tuple):
        value_type, _, choices = _values_of(arguments[0])
        return value_type, True, choices
    if origin is dict:
        return dict, False, ()
    if origin is Literal:
        return str, False, tuple(map(str, arguments))
    if issubclass(annotation, StrEnum):
        return str, False, tuple(member.value for member in annotation)
    return annotation, False, ()


def _range_of(field: FieldInfo) -> str | None:
    """The allowed numbers in words."""
    low = high = None
    for mark in field.metadata:
        if isinstance(mark, annotated_types.Ge):
            low = f"at least {_number(mark.ge)}"
        elif isinstance(mark, annotated_types.Gt):
            low = f"more than {_number(mark.gt)}"
        elif isinstance(mark, annotated_types.Le):
            high = f"at most {_number(mark.le)}"
        elif isinstance(mark, annotated_types.Lt):
            high = f"less than {_number(mark.lt)}"
    if low and high and low.startswith("at least") and high.startswith("at most"):
        return f"{low.removeprefix('at least ')} to {high.removeprefix('at most ')}"
    return ", ".join(bound for bound in (low, high) if bound) or None


def _default_of(name: str, field: FieldInfo) -> str | None:
    value = field.default
    if field.is_required() or value is None or field.default_factory is not None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and "bytes" in name and value % _MEBIBYTE == 0:
        return f"{value} ({value // _MEBIBYTE} MiB)"
    if isinstance(value, dict):
        return "none"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return _number(value) if isinstance(value, int | float) else str(value)


def _number(value: Any) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
