"""What a setting is besides its type, default and description: its heading, whether it can change a row."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic.fields import FieldInfo


class SettingGroup(StrEnum):
    """The heading that a setting stands under in the help and in the documentation."""

    LABELS = "What is labelled"
    REVIEW = "Confidence and review"
    PLACEMENT = "Where it runs"
    LIMITS = "Inputs and limits"


@dataclass(frozen=True)
class Setting:
    """What a setting is besides its type, default and description. A mark on a field of `RunConfig`.

    `group`: its heading; None: it stands first, without one. `changes_rows`: False if it changes only how
    fast a run is, where it goes or what it reports; the fingerprint of a run leaves such settings out.
    """

    group: SettingGroup | None = None
    changes_rows: bool = True


def setting_of(field: FieldInfo) -> Setting:
    """The mark of a field; a field without one has the defaults of `Setting`."""
    return next((mark for mark in field.metadata if isinstance(mark, Setting)), Setting())
