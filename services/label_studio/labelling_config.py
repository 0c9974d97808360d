"""The labelling configuration of a review's project in Label Studio, and the names of its controls.

Per region: a box, or a mask, with a caption (in the list of regions), a verdict, and the phrases that mean
it. For the whole image: its caption, its counts (one per line, `phrase = number`), the answers to free
questions (one entry each, below its question) and a comment. A project has only the fields that its images
need. The phrases to tick come with each LsTask (`$phrases`). For live labelling, boxes are drawn smart, and
there is a field for a phrase whose regions the model finds (`FIND`): with Label Studio's Auto-Annotation on,
both are sent to our `/ml`.
"""

import re
from collections.abc import Collection, Iterable

from schemas.labels import LabelKind
from services.label_studio.labelling_styles import DOUBTFUL_COLOUR, SETTLED_COLOUR, STYLES

# Labels of a box. They say how sure the model was and nothing about what the box holds.
LABEL, DOUBTFUL_LABEL = "region", "unsure"
OWN_LABELS = frozenset({LABEL, DOUBTFUL_LABEL})
BOX, MASK, VERDICT, PHRASES, CAPTION, COUNTS, ANSWERS, COMMENT, IMAGE, VIDEO = (
    "box",
    "region_mask",
    "verdict",
    "phrases",
    "image_caption",
    "counts",
    "answers",
    "comment",
    "image",
    "video",
)
TEXT_FIELDS = {
    LabelKind.BRIEF_CAPTION: "brief_caption",
    LabelKind.DETAILED_CAPTION: "detailed_caption",
    LabelKind.OCR: "text",
}
RIGHT, WRONG = "right", "wrong"
FIND = "find"
# Not a control: a part of the page.
CLOSEUPS = "closeups"

# With two rows, the field in the list of regions is a text area, which keeps line breaks.
_OF_REGION = f'toName="{IMAGE}" perRegion="true" editable="true" maxSubmissions="1" rows="2"'
_OF_IMAGE = f'toName="{IMAGE}" editable="true" maxSubmissions="1"'
# The field that stands in the list of regions: the first of these that a project has.
_LISTED = (TEXT_FIELDS[LabelKind.BRIEF_CAPTION], TEXT_FIELDS[LabelKind.OCR])
_PLACEHOLDERS = {
    TEXT_FIELDS[LabelKind.BRIEF_CAPTION]: "a short caption",
    TEXT_FIELDS[LabelKind.DETAILED_CAPTION]: "a detailed caption: a sentence or more",
    TEXT_FIELDS[LabelKind.OCR]: "the text that can be read in it",
}
_PHRASES_FIELD = f"""      <Header value="Phrases that mean it" size="6"/>
      <View className="fo1-phrases"><Collapse><Panel value="all phrases">
        <Choices name="{PHRASES}" toName="{IMAGE}" perRegion="true" choice="multiple" value="$phrases"/>
      </Panel></Collapse></View>
"""
_IMAGE_FIELDS = {
    CAPTION: f"""    <Header value="Caption of the image" size="6"/>
    <TextArea name="{CAPTION}" {_OF_IMAGE} rows="2"/>
""",
    COUNTS: f"""    <Header value="Counts, one per line: phrase = number" size="6"/>
    <TextArea name="{COUNTS}" {_OF_IMAGE} rows="2"/>
""",
    ANSWERS: f"""    <Header value="Questions: change the answer below each" size="6"/>
    <TextArea name="{ANSWERS}" {_OF_IMAGE} rows="2"/>
""",
}
# Brushes have the labels of boxes; what is painted while a region is chosen becomes a part of it.
_MASK_FIELD = f"""    <BrushLabels name="{MASK}" toName="{IMAGE}" opacity="0.4">
      <Label value="{LABEL}" html="settled mask" background="{SETTLED_COLOUR}" hotkey="3"/>
      <Label value="{DOUBTFUL_LABEL}" html="unsure mask" background="{DOUBTFUL_COLOUR}" hotkey="4"/>
    </BrushLabels>
"""
_FIND_FIELD = f"""    <Header value="Find what a phrase means (Auto-Annotation on)" size="6"/>
    <TextArea name="{FIND}" {_OF_IMAGE} rows="1" showSubmitButton="true" placeholder="a phrase"/>
"""
# The fields that a project has only if its images need them.
FIELDS = frozenset({MASK, PHRASES, *TEXT_FIELDS.values(), *_IMAGE_FIELDS})
_KEYS = (
    "Alt+. next box, Enter its caption",
    "1 settled, 9 wrong, Backspace delete",
    "Ctrl+wheel zoom, drag a new box",
    "Ctrl+Enter submit",
)
_MASK_KEYS = ("B paints the chosen mask, E erases",)


def label_config(fields: Collection[str]) -> str:
    """Return the labelling configuration with these of the `FIELDS`."""
    listed = next((name for name in _LISTED if name in fields), None)
    return f"""<View className="fo1">
  <Style>{STYLES}</Style>
  <View className="fo1-image">
    <Image name="{IMAGE}" value="$image" zoom="true" zoomControl="true" rotateControl="false"
      maxHeight="calc(100vh - 122px)"/>
{_text_field(listed, "    ", ' displayMode="region-list"') if listed else ""}  </View>
  <View className="fo1-side">
    <RectangleLabels name="{BOX}" toName="{IMAGE}" canRotate="false" opacity="0.06" strokeWidth="2">
      <Label value="{LABEL}" html="settled" background="{SETTLED_COLOUR}" selected="true" hotkey="1"/>
      <Label value="{DOUBTFUL_LABEL}" background="{DOUBTFUL_COLOUR}" hotkey="2"/>
    </RectangleLabels>
{_MASK_FIELD if MASK in fields else ""}    <Collapse><Panel value="close-ups" open="true">
    <View className="fo1-closeups">
      <HyperText name="{CLOSEUPS}" value="${CLOSEUPS}" inline="true"/>
    </View></Panel></Collapse>
    <View visibleWhen="no-region-selected" className="fo1-keys">
{_headers(_KEYS + (_MASK_KEYS if MASK in fields else ()))}    </View>
    <View visibleWhen="region-selected">
      <Choices name="{VERDICT}" toName="{IMAGE}" perRegion="true" choice="single-radio" showInline="true">
        <Choice value="{RIGHT}" hotkey="8"/>
        <Choice value="{WRONG}" hotkey="9"/>
      </Choices>
{_PHRASES_FIELD if PHRASES in fields else ""}{_other_text_fields(fields, listed)}    </View>
{"".join(field for name, field in _IMAGE_FIELDS.items() if name in fields)}    <Collapse accordion="false">
      <Panel value="Why this image is here"><Header value="$why" size="6"/></Panel>
      <Panel value="Comment"><TextArea name="{COMMENT}" {_OF_IMAGE} rows="1"/></Panel>
    </Collapse>
  </View>
</View>"""


def _headers(lines: Iterable[str]) -> str:
    return "".join(f'      <Header value="{line}" size="6"/>\n' for line in lines)


def _text_field(name: str, indent: str, more: str = "") -> str:
    return f'{indent}<TextArea name="{name}" {_OF_REGION}{more} placeholder="{_PLACEHOLDERS[name]}"/>\n'


def _other_text_fields(fields: Collection[str], listed: str | None) -> str:
    names = [name for name in TEXT_FIELDS.values() if name in fields and name != listed]
    return "".join(_text_field(name, "      ") for name in names)


def live_config(config: str) -> str:
    """Return a configuration with smart boxes and the field of a phrase to find."""
    box = f'<RectangleLabels name="{BOX}" toName="{IMAGE}"'
    if f'{box} smart="true"' not in config:
        config = config.replace(box, f'{box} smart="true"')
    return config if FIND in control_names(config) else _with_last(config, _FIND_FIELD)


def control_names(config: str) -> frozenset[str]:
    """Return the names of the controls of a labelling configuration."""
    return frozenset(re.findall(r"""\bname\s*=\s*["']([^"']*)["']""", config))


def with_fields(config: str, fields: Collection[str]) -> str:
    """Return the configuration with those of these `FIELDS` that it lacks; everything else stays."""
    for name in sorted(frozenset(fields) - control_names(config)):
        if name == MASK:
            config = _with_last(config, _MASK_FIELD)
        elif name in _IMAGE_FIELDS:
            config = _with_last(config, _IMAGE_FIELDS[name])
        else:
            field = _PHRASES_FIELD if name == PHRASES else _text_field(name, "      ")
            config = _with_last(config, f'    <View visibleWhen="region-selected">\n{field}    </View>\n')
    return config


def _with_last(config: str, field: str) -> str:
    before, end, after = config.rpartition("</View>")
    return f"{before}{field}{end}{after}"


CONFIG = label_config(FIELDS)

INSTRUCTION = (
    "Compare every box with its caption: the close-ups have the numbers of the list. Correct a caption in "
    "the list, move a box that does not fit, delete it if nothing is there, and draw missing boxes. Read the "
    "questions and correct the answers below them. What you leave unchanged counts as right. If you cannot "
    "say what is right, mark the region as wrong. Submit when the image is correct.\n\n"
    "Orange boxes are in doubt and come first; choose one to see why. Keys: Alt+. next box; Enter its "
    "caption, Enter again to leave it; 1 settles a box (this changes its colour only), 9 wrong, Backspace "
    "delete; Ctrl+wheel zoom; Ctrl+Enter submit. The sliders below the image show numbers at the boxes."
)
