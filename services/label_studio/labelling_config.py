"""The labelling configuration of a review's project in Label Studio, and the names of its controls.

Per region: a box with a caption (in the list of regions), a verdict, and the phrases that mean it. For the
whole image: its caption, its counts (one per line, `phrase = number`), the answers to free questions (one
entry each, below its question) and a comment. The phrases to tick come with each LsTask (`$phrases`). For
live labelling, boxes are drawn smart, and there is a field for a phrase whose regions the model finds
(`FIND`): with Label Studio's Auto-Annotation on, both are sent to our `/ml`.
"""

import re

from schemas.labels import LabelKind

LABEL = "region"
BOX, VERDICT, PHRASES, CAPTION, COUNTS, ANSWERS, COMMENT, IMAGE = (
    "box",
    "verdict",
    "phrases",
    "image_caption",
    "counts",
    "answers",
    "comment",
    "image",
)
TEXT_FIELDS = {
    LabelKind.BRIEF_CAPTION: "brief_caption",
    LabelKind.DETAILED_CAPTION: "detailed_caption",
    LabelKind.OCR: "text",
}
RIGHT, WRONG = "right", "wrong"
FIND = "find"

_ANSWERS_FIELD = f"""    <Header value="Questions: change the answer below each" size="6"/>
    <TextArea name="{ANSWERS}" toName="{IMAGE}" editable="true" maxSubmissions="1" rows="2"/>
"""

CONFIG = f"""<View style="display: grid; grid-template-columns: minmax(0, 1fr) 290px; gap: 12px">
  <View style="min-width: 0">
    <View style="padding: 4px 10px; background: #fff4d6; border-left: 4px solid #e0a100">
      <Header value="$why" size="6"/>
    </View>
    <Image name="{IMAGE}" value="$image" zoom="true" zoomControl="true" rotateControl="false"/>
    <TextArea name="brief_caption" toName="{IMAGE}" perRegion="true" editable="true" maxSubmissions="1"
      rows="1" displayMode="region-list" placeholder="a short caption"/>
    <RectangleLabels name="{BOX}" toName="{IMAGE}" canRotate="false" opacity="0.1" strokeWidth="2">
      <Label value="{LABEL}" background="#1f77d0" selected="true"/>
    </RectangleLabels>
  </View>
  <View style="min-width: 0">
    <View visibleWhen="region-selected">
      <Header value="Phrases that mean this region" size="6"/>
      <Choices name="{PHRASES}" toName="{IMAGE}" perRegion="true" choice="multiple" value="$phrases"/>
      <Header value="Verdict on this region" size="6"/>
      <Choices name="{VERDICT}" toName="{IMAGE}" perRegion="true" choice="single-radio" showInline="true">
        <Choice value="{RIGHT}"/>
        <Choice value="{WRONG}"/>
      </Choices>
      <Header value="Detailed caption" size="6"/>
      <TextArea name="detailed_caption" toName="{IMAGE}" perRegion="true" editable="true" maxSubmissions="1"
        rows="2" placeholder="a sentence or more"/>
      <Header value="Text in it" size="6"/>
      <TextArea name="text" toName="{IMAGE}" perRegion="true" editable="true" maxSubmissions="1" rows="1"
        placeholder="what can be read"/>
    </View>
    <Header value="Caption of the image" size="6"/>
    <TextArea name="{CAPTION}" toName="{IMAGE}" editable="true" maxSubmissions="1" rows="2"/>
    <Header value="Counts, one per line: phrase = number" size="6"/>
    <TextArea name="{COUNTS}" toName="{IMAGE}" editable="true" maxSubmissions="1" rows="2"/>
{_ANSWERS_FIELD}    <Header value="Comment" size="6"/>
    <TextArea name="{COMMENT}" toName="{IMAGE}" editable="true" maxSubmissions="1" rows="1"/>
  </View>
</View>"""

LIVE_CONFIG = CONFIG.replace(
    f'<RectangleLabels name="{BOX}" toName="{IMAGE}"',
    f'<RectangleLabels name="{BOX}" toName="{IMAGE}" smart="true"',
).replace(
    '    <Header value="Caption of the image" size="6"/>',
    f"""    <Header value="Find what a phrase means (Auto-Annotation on)" size="6"/>
    <TextArea name="{FIND}" toName="{IMAGE}" editable="true" maxSubmissions="1" rows="1"
      showSubmitButton="true" placeholder="a phrase"/>
    <Header value="Caption of the image" size="6"/>""",
)


def control_names(config: str) -> frozenset[str]:
    """Return the names of the controls of a labelling configuration."""
    return frozenset(re.findall(r"""\bname\s*=\s*["']([^"']*)["']""", config))


def with_answers(config: str) -> str:
    """Return the configuration with the field of the answers, which projects of older reviews lack."""
    if f'name="{ANSWERS}"' in config:
        return config
    before, end, after = config.rpartition("</View>")
    return f"{before}{_ANSWERS_FIELD}{end}{after}"


INSTRUCTION = (
    "Check every box: correct its caption, move it if it does not fit, delete it if nothing is there, and "
    "add missing boxes. Read the questions and correct the answers below them. What you leave unchanged "
    "counts as right. If you cannot say what is right, mark the region as wrong. Submit when the image is "
    "correct."
)
