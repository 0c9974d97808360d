"""Parses the result list of an annotation, and says which parts of it cannot be read. Pure functions.

Any program may write annotations, in any form. What is there and cannot be read is listed in `not_read`, so
that nobody takes it for absent. Results of controls that somebody added to the project are read if they are
shapes or labels, and named in `ignored` if not.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fo1_data.masks import mask_box
from schemas.labels import LabelKind
from schemas.regions import Box, MaskRle, numbered_id
from services.label_studio.answers import parse_answers
from services.label_studio.brushes import painted_mask
from services.label_studio.convert import phrase_choices
from services.label_studio.counts import counts_text, parse_counts
from services.label_studio.labelling_config import (
    ANSWERS,
    BOX,
    CAPTION,
    COMMENT,
    COUNTS,
    FIND,
    MASK,
    OWN_LABELS,
    PHRASES,
    RIGHT,
    TEXT_FIELDS,
    VERDICT,
    WRONG,
)
from services.label_studio.shapes import shape_to_box
from services.label_studio.shown import ShownClip, ShownImage
from services.label_studio.video_results import shown_boxes

_KIND_OF_FIELD = {name: kind for kind, name in TEXT_FIELDS.items()}
_OF_IMAGE = (CAPTION, COUNTS, ANSWERS, COMMENT)
_ATTRIBUTES = {CAPTION: "caption", COUNTS: "counts", COMMENT: "comment"}
_OF_REGION = (VERDICT, PHRASES, *_KIND_OF_FIELD)
_CONTROLS = {BOX, MASK, FIND, *_OF_IMAGE, *_OF_REGION}
_SHAPES = ("rectangle", "polygon", "ellipse")
_MAX_SHORT = 60


@dataclass
class AnnotatedRegion:
    """A region of an annotation. `phrases`: aliases of the phrases that name it.

    `label`: a class that somebody gave it with a control or label of their own; None: none.
    `mask_rle`: its pixels in the picture, if it is a mask; `box_xyxy` is around them.
    `boxes`: of a track: the box of each frame of the clip that shows it; `box_xyxy` is the first.
    """

    box_xyxy: Box
    boxes: dict[int, Box] = field(default_factory=dict)
    texts: dict[LabelKind, str] = field(default_factory=dict)
    verdict: bool | None = None
    phrases: frozenset[str] = frozenset()
    label: str | None = None
    mask_rle: MaskRle | None = None


@dataclass
class ParsedAnnotation:
    """A parsed annotation: regions by result id, and the texts of the whole image.

    `answers`: by index in `ShownImage.answers`, as `parse_answers` returns them. `not_read`: what cannot be
    read, in words; it belongs to the regions `marks_not_read` (which are not in `regions`) and to the image's
    fields `fields_not_read`. `ignored`: added controls whose results have no form here. `ids` and `fields`:
    those of all results.
    """

    regions: dict[str, AnnotatedRegion] = field(default_factory=dict)
    caption: str | None = None
    counts: str | None = None
    answers: dict[int, str] = field(default_factory=dict)
    comment: str | None = None
    not_read: list[str] = field(default_factory=list)
    marks_not_read: set[str] = field(default_factory=set)
    fields_not_read: set[str] = field(default_factory=set)
    ignored: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


def parse_result(result: Sequence[Any], shown: ShownImage) -> ParsedAnnotation:
    """Parse the result list of an annotation of what was shown.

    Shapes of controls that somebody added to the project become the boxes around them. Raises ValueError if
    the control of a result is unknown.
    """
    parser = _Parser(shown)
    entries = _with_marks(result, {region.mark for region in shown.regions})
    parser.annotated.ids = {entry["id"] for entry in entries}
    parser.annotated.fields = {str(entry.get("from_name")) for entry in entries}
    for entry in entries:
        parser.add_shape(entry)
    for entry in entries:
        parser.add_entry(entry)
    return parser.finish()


def _with_marks(result: Sequence[Any], marks: Collection[str]) -> list[dict[str, Any]]:
    """Return the entries with the marks of their regions as ids. marks: those that were shown.

    Regions of older reviews whose ids Label Studio has cut at a `#` come back with one id; each begins with
    its box, by which they are counted, as far as so many were shown.
    """
    uses: Counter[str] = Counter()
    entries = []
    for entry in result:
        if not isinstance(entry, dict) or not _has_name(entry):
            raise ValueError("a result of it has no control, so it may be of any")
        cut_id = str(entry.get("id")).partition("#")[0]
        uses[cut_id] += entry.get("from_name") == BOX
        while uses[cut_id] > 1 and numbered_id(cut_id, uses[cut_id]) not in marks:
            uses[cut_id] -= 1
        entries.append({**entry, "id": numbered_id(cut_id, max(uses[cut_id], 1))})
    return entries


def _has_name(entry: Mapping[str, Any]) -> bool:
    name = entry.get("from_name")
    return isinstance(name, str) or (name is None and entry.get("type") == "relation")


class _Parser:
    def __init__(self, shown: ShownImage) -> None:
        self._shown = shown
        self._aliases = {choice["value"]: choice["alias"] for choice in phrase_choices(shown)}
        self._numbers = {region.mark: number for number, region in enumerate(shown.regions, 1)}
        self._answers: list[str] = []
        self.annotated = ParsedAnnotation()

    def add_shape(self, entry: Mapping[str, Any]) -> None:
        """Add the box of an entry with a shape."""
        if self._shown.clip is not None:
            self._add_track(entry, self._shown.clip)
            return
        if entry.get("from_name") == MASK:
            self._add_mask(entry)
            return
        kind = str(entry.get("type"))
        is_ours = entry.get("from_name") in _CONTROLS
        if entry.get("from_name") == BOX or (not is_ours and kind.removesuffix("labels") in _SHAPES):
            box = shape_to_box(_value(entry), *self._shown.picture_wh)
            if box is not None:
                self._add_region(entry, AnnotatedRegion(self._shown.in_image(box)))
            else:
                self._miss(entry, "the box of")
        elif not is_ours and kind != "labels":
            self.annotated.ignored.append(f"{entry.get('from_name') or 'a result'} ({kind})")

    def _add_mask(self, entry: Mapping[str, Any]) -> None:
        mask = painted_mask(_value(entry), self._shown.picture_wh)
        if mask is None:
            self._miss(entry, "the mask (nothing is painted, or not in this image) of")
            return
        box = self._shown.in_image(mask_box(mask))
        self._add_region(entry, AnnotatedRegion(box, mask_rle=mask))

    def _add_region(self, entry: Mapping[str, Any], region: AnnotatedRegion) -> None:
        """Add a region; another shape of the same id cannot be read."""
        earlier = self.annotated.regions.setdefault(entry["id"], region)
        if earlier != region:
            self._miss(entry, "a second shape of")

    def _add_track(self, entry: Mapping[str, Any], clip: ShownClip) -> None:
        is_of_box = entry.get("from_name") == BOX
        if is_of_box or entry.get("type") == "videorectangle":
            boxes = shown_boxes(_value(entry), clip.num_frames, self._shown.picture_wh)
            if boxes:
                self._add_region(entry, AnnotatedRegion(next(iter(boxes.values())), boxes))
            else:
                self._miss(entry, "the key frames of")
        elif entry.get("from_name") not in _CONTROLS and entry.get("type") != "labels":
            self.annotated.ignored.append(f"{entry.get('from_name') or 'a result'} ({entry.get('type')})")

    def add_entry(self, entry: Mapping[str, Any]) -> None:
        """Add what an entry says, once all boxes are there."""
        name, value = entry.get("from_name"), _value(entry)
        if name in _OF_IMAGE:
            self._add_to_image(str(name), value)
            return
        region = self.annotated.regions.get(entry["id"])
        if name in _OF_REGION and region is None:
            self._miss(entry, f"{name} without a box, of")
        elif region is None:
            if name not in _CONTROLS and entry.get("type") == "labels":
                self.annotated.ignored.append(f"{name} (labels without a shape)")
        elif name in (BOX, MASK) or (name not in _CONTROLS and str(entry.get("type")).endswith("labels")):
            labels = value.get("labels" if self._shown.clip is not None else str(entry.get("type")))
            self._add_classes(entry, labels, region)
        elif name in _KIND_OF_FIELD:
            texts = _texts(value)
            text = "\n".join(texts or [])
            if texts is None or region.texts.setdefault(_KIND_OF_FIELD[str(name)], text) != text:
                self._miss(entry, f"{name} of" if texts is None else f"a second {name} of")
        elif name in (PHRASES, VERDICT):
            self._add_choices(entry, region)

    def _add_classes(self, entry: Mapping[str, Any], labels: object, region: AnnotatedRegion) -> None:
        """Set the class of a region: the last of its labels that is not one of this project's own."""
        name = str(entry.get("from_name"))
        if labels is not None and not isinstance(labels, list):
            self._miss(entry, "the labels of")
        for label in map(str, labels) if isinstance(labels, list) else ():
            if label in OWN_LABELS:
                continue
            if region.label not in (None, label):
                self.annotated.ignored.append(f"{name}: {region.label}, a second class of a box")
            region.label = label

    def _add_choices(self, entry: Mapping[str, Any], region: AnnotatedRegion) -> None:
        choices = _value(entry).get("choices")
        name = str(entry.get("from_name"))
        choices = [choices] if isinstance(choices, str) else choices
        if not isinstance(choices, list):
            self._miss(entry, f"{name} of")
        elif name == PHRASES:
            aliases = set(self._aliases.values())  # a phrase's text may equal another phrase's alias
            words = [str(choice) for choice in choices]
            names = [word if word in aliases else self._aliases.get(word) for word in words]
            region.phrases |= frozenset(alias for alias in names if alias is not None)
            if None in names:
                self._miss(entry, "a phrase that was not shown, of")
        elif choices:
            verdict = {RIGHT: True, WRONG: False}.get(str(choices[0]))
            is_other = region.verdict not in (None, verdict)
            region.verdict = verdict
            if verdict is None or len(choices) > 1 or is_other:
                self._miss(entry, f"the verdict {', '.join(map(str, choices))} of")

    def _add_to_image(self, name: str, value: Mapping[str, Any]) -> None:
        texts = _texts(value)
        if texts is None:
            self._miss_field(name, f"{name} of the image")
        elif name == ANSWERS:
            self._answers += texts
        else:
            text = "\n".join(texts)
            if getattr(self.annotated, _ATTRIBUTES[name]) not in (None, text):
                self._miss_field(name, f"a second {name} of the image")
            setattr(self.annotated, _ATTRIBUTES[name], text)

    def finish(self) -> ParsedAnnotation:
        """Return the annotation, with its answers and with the lines of its counts that cannot be read."""
        annotated = self.annotated
        counts = parse_counts(annotated.counts or "", [part.phrase for part in self._shown.counts])
        for line in counts.not_read if annotated.counts != counts_text(self._shown.counts) else ():
            annotated.not_read.append(f'the line "{_short(line)}" of the counts (phrase = number)')
        annotated.answers, unmatched = parse_answers(self._answers, self._shown)
        for entry in unmatched:
            annotated.not_read.append(f'the answer "{_short(entry)}", which belongs to no question')
        for mark in annotated.marks_not_read:
            annotated.regions.pop(mark, None)
        return annotated

    def _miss(self, entry: Mapping[str, Any], part: str) -> None:
        mark = entry["id"]
        number = self._numbers.get(mark)
        if mark not in self.annotated.marks_not_read:
            self.annotated.marks_not_read.add(mark)
            self.annotated.not_read.append(f"{part} {f'box {number}' if number else 'an added box'}")

    def _miss_field(self, name: str, words: str) -> None:
        self.annotated.fields_not_read.add(name)
        self.annotated.not_read.append(words)


def _value(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    value = entry.get("value")
    return value if isinstance(value, dict) else {}


def _texts(value: Mapping[str, Any]) -> list[str] | None:
    """Return the entries of a text field; None if they are no texts."""
    text = value.get("text")
    texts = [text] if isinstance(text, str) else text
    is_read = isinstance(texts, list) and all(isinstance(part, str) for part in texts)
    return texts if is_read else None


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _MAX_SHORT else f"{words[:_MAX_SHORT]}…"
