"""The labelling configuration of a review of tracks: a video with key frames, and per track its texts.

The names are those of `labelling_config` where they mean the same. Answers to free questions stand beside the
video, one entry each. Label Studio takes the rate of the video from the LsTask (`$fps`), so that its frames
are those of the dataset.
"""

from collections.abc import Collection

from services.label_studio.labelling_config import (
    ANSWERS,
    BOX,
    COMMENT,
    DOUBTFUL_LABEL,
    LABEL,
    RIGHT,
    TEXT_FIELDS,
    VERDICT,
    VIDEO,
    WRONG,
    control_names,
)
from services.label_studio.labelling_styles import DOUBTFUL_COLOUR, SETTLED_COLOUR, STYLES

TRACK_LABEL = "track_label"
_OF_TRACK = f'toName="{VIDEO}" perRegion="true"'
_PLACEHOLDERS = dict(
    zip(TEXT_FIELDS.values(), ("a short caption", "a detailed caption", "the text on it"), strict=True)
)
_ANSWERS_FIELD = f"""    <Header value="Questions: change the answer below each" size="6"/>
    <TextArea name="{ANSWERS}" toName="{VIDEO}" editable="true" maxSubmissions="1" rows="2"/>
"""
# The video takes the height of the window that its timeline leaves.
_VIDEO_STYLES = """.fo1-image .lsf-video__main {height: calc(100vh - 420px) !important; min-height: 240px}
.fo1-image .lsf-object {padding-right: 0 !important}
"""

INSTRUCTION = (
    "Play the video and compare each track with its caption in the list. Correct a caption; move a box in "
    "the frame where it does not fit; delete a track if there is no such thing. Where a track goes over to "
    "another thing, end it in the last frame that is right (switch the track off there) and draw a new one "
    "from the next frame on. What you leave unchanged counts as right. If you cannot say what is right, mark "
    "the track as wrong. Submit when all tracks are correct."
)


def video_config(fields: Collection[str]) -> str:
    """Return the labelling configuration with these fields (of `TEXT_FIELDS`, and the answers).

    The first text is edited in the list of tracks, the others once a track is chosen.
    """
    names = [name for name in TEXT_FIELDS.values() if name in fields]
    listed = "".join(_text_field(name, ' displayMode="region-list"') for name in names[:1])
    others = "".join(_text_field(name) for name in names[1:])
    return f"""<View className="fo1">
  <Style>{STYLES}{_VIDEO_STYLES}</Style>
  <View className="fo1-image">
    <Video name="{VIDEO}" value="$video" framerate="$fps" timelineHeight="150"/>
    <VideoRectangle name="{BOX}" toName="{VIDEO}" canRotate="false"/>
{listed}  </View>
  <View className="fo1-side">
    <Labels name="{TRACK_LABEL}" toName="{VIDEO}">
      <Label value="{LABEL}" html="settled" background="{SETTLED_COLOUR}" selected="true" hotkey="1"/>
      <Label value="{DOUBTFUL_LABEL}" background="{DOUBTFUL_COLOUR}" hotkey="2"/>
    </Labels>
    <View visibleWhen="region-selected">
      <Choices name="{VERDICT}" {_OF_TRACK} choice="single-radio" showInline="true">
        <Choice value="{RIGHT}" hotkey="8"/>
        <Choice value="{WRONG}" hotkey="9"/>
      </Choices>
{others}    </View>
{_ANSWERS_FIELD if ANSWERS in fields else ""}    <Collapse accordion="false">
      <Panel value="Why this video is here"><Header value="$why" size="6"/></Panel>
      <Panel value="Comment">
        <TextArea name="{COMMENT}" toName="{VIDEO}" editable="true" maxSubmissions="1" rows="1"/>
      </Panel>
    </Collapse>
  </View>
</View>"""


def with_video_fields(config: str, fields: Collection[str]) -> str:
    """Return the configuration with those of these fields that it lacks; everything else stays."""
    for name in sorted(frozenset(fields) & {ANSWERS, *TEXT_FIELDS.values()} - control_names(config)):
        before, end, after = config.rpartition("</View>")
        field = _ANSWERS_FIELD if name == ANSWERS else _shown_with_track(_text_field(name))
        config = f"{before}{field}{end}{after}"
    return config


def _shown_with_track(field: str) -> str:
    return f'  <View visibleWhen="region-selected">\n{field}  </View>\n'


def _text_field(name: str, more: str = "") -> str:
    return (
        f'      <TextArea name="{name}" {_OF_TRACK} editable="true" maxSubmissions="1" rows="1"{more}\n'
        f'        placeholder="{_PLACEHOLDERS[name]}"/>\n'
    )
