"""The form of a run, made from the run model: a field, its help and its values for each setting."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from schemas.jobs import RunConfig
from schemas.setting_marks import SettingGroup, setting_of

# The service's own cluster runs the jobs.
_LEFT_OUT = ("address", "object_store_bytes")
_FIRST = ("corpus", "out", "labels", "proposals", "model", "limit")


@dataclass(frozen=True)
class FormField:
    """A field of the form. `kind`: `text`, `number`, `choice`, `choices` or `switch`.

    `default`: shown where nothing is typed. `choices`: the values of `choice` and `choices`.
    """

    name: str
    help: str
    kind: str
    default: str
    choices: tuple[str, ...] = ()
    required: bool = False


def run_fields() -> dict[str, list[FormField]]:
    """Return the fields by heading: first those that every run needs, under an empty one."""
    groups: dict[str, list[FormField]] = {"": [], **{group.value: [] for group in SettingGroup}}
    fields = RunConfig.model_fields
    for name in (*_FIRST, *(name for name in fields if name not in _FIRST)):
        if name not in _LEFT_OUT:
            group = setting_of(fields[name]).group
            groups["" if name in _FIRST or group is None else group.value].append(_field(name, fields[name]))
    return groups


def values_of_run(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what the form shows for settings that differ from the defaults."""
    shown = {}
    for name, value in settings.items():
        if name in RunConfig.model_fields and value is not None:
            parts = value if isinstance(value, list) else [value]
            is_choices = _field(name, RunConfig.model_fields[name]).kind == "choices"
            shown[name] = [str(part) for part in parts] if is_choices else [",".join(map(str, parts))]
    return shown


def settings_of_form(values: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the settings of a form that was sent: a field that is left empty has its default."""
    settings: dict[str, Any] = {}
    for fields in run_fields().values():
        for field in fields:
            given = [value.strip() for value in values.get(field.name, []) if value.strip()]
            if field.kind == "switch":
                settings |= {field.name: True} if given else {}
            elif given:
                settings[field.name] = given if field.kind == "choices" else given[0]
    return settings


def _field(name: str, field: FieldInfo) -> FormField:
    kind, choices = _kind_of(field.annotation)
    help_text = (field.description or "").replace("`", "")
    default = "" if field.is_required() else _text(field.get_default(call_default_factory=True))
    return FormField(name, help_text, kind, default, choices, field.is_required())


def _kind_of(annotation: Any) -> tuple[str, tuple[str, ...]]:
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is Literal:
        return "choice", tuple(map(str, parts))
    if get_origin(annotation) is list:
        inner = parts[0]
        is_enum = isinstance(inner, type) and issubclass(inner, Enum)
        return ("choices", tuple(member.value for member in inner)) if is_enum else ("text", ())
    if parts:
        return _kind_of(parts[0])
    if annotation is bool:
        return "switch", ()
    return ("number", ()) if annotation in (int, float) else ("text", ())


def _text(value: Any) -> str:
    if value is None or value is False:
        return ""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
