"""The fields of a project in Label Studio, compared with those that were pushed. Pure functions.

Somebody may take a field out of a project's settings, rename it or change what it holds. Label Studio then
leaves its results out of annotations, and nothing in an annotation tells this from an emptied field.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from services.label_studio.labelling_config import (
    ANSWERS,
    BOX,
    CAPTION,
    COUNTS,
    MASK,
    PHRASES,
    TEXT_FIELDS,
    VERDICT,
)
from services.label_studio.shown import ShownImage, fields_of

_FIELDS = (BOX, MASK, VERDICT, PHRASES, CAPTION, COUNTS, ANSWERS, *TEXT_FIELDS.values())


@dataclass(frozen=True)
class Field:
    """A control: its tag, the object it is about, whether it is per region, and its choices or labels."""

    tag: str
    to_name: str = ""
    per_region: bool = False
    choices: frozenset[str] = frozenset()

    def holds(self, pushed: "Field") -> bool:
        """Return whether this field can hold whatever the pushed one could."""
        same = (self.tag, self.to_name, self.per_region) == (pushed.tag, pushed.to_name, pushed.per_region)
        return same and pushed.choices <= self.choices


def parse_fields(config: str) -> dict[str, Field]:
    """Return the controls of a labelling configuration by name; none if it is no XML."""
    if "<!" in config:  # refuse entities and document types
        return {}
    try:
        root = ElementTree.fromstring(config)
    except (ElementTree.ParseError, UnicodeEncodeError):
        return {}
    return dict(_controls(root))


def _controls(root: ElementTree.Element) -> Iterator[tuple[str, Field]]:
    for element in root.iter():
        name, to_name = element.get("name"), element.get("toName")
        if name and to_name:
            choices = [child.get("alias") or child.get("value") or "" for child in element]
            is_per_region = element.get("perRegion") == "true"
            yield name, Field(element.tag, to_name, is_per_region, frozenset(choices))


@dataclass(frozen=True)
class ProjectFields:
    """The fields that a project has, those that were pushed (None: not stored), and suspect ones.

    `suspect`: fields that were changed when the project was last read.
    """

    present: Mapping[str, Field]
    pushed: Mapping[str, Field] | None = None
    suspect: frozenset[str] = frozenset()

    def changed(self) -> frozenset[str]:
        """Return the names of fields that are gone or can no longer hold what the pushed ones could."""
        if self.pushed is None:
            return frozenset(name for name in _FIELDS if name not in (ANSWERS, MASK, *self.present))
        missing = Field("")
        pushed = {name: part for name, part in self.pushed.items() if name in _FIELDS}
        return frozenset(
            name for name, part in pushed.items() if not self.present.get(name, missing).holds(part)
        )

    def changed_of(self, shown: ShownImage, in_result: Collection[str]) -> frozenset[str]:
        """Return the changed fields that matter for an image.

        `in_result`: the fields that an annotation has results of, which a suspect field therefore had.
        """
        return (self.changed() | (self.suspect - set(in_result))) & _held_by(shown)


def _held_by(shown: ShownImage) -> set[str]:
    """Return the names of the fields that hold a part of what is shown."""
    return fields_of(shown) | ({BOX, VERDICT} if shown.regions else set())
