"""The labelling configuration of a review's project in Label Studio, and the names its results carry.

Boxes with a caption, a verdict and the phrases that mean them, each per region; the image's caption, its
counts (one a line, `phrase = number`) and a comment for the whole image. Which phrases can be ticked comes
with each LsTask (`$phrases`).
"""

from schemas.labels import LabelKind

LABEL = "region"
BOX, VERDICT, PHRASES, CAPTION, COUNTS, COMMENT, IMAGE = (
    "box",
    "verdict",
    "phrases",
    "image_caption",
    "counts",
    "comment",
    "image",
)
TEXT_FIELDS = {
    LabelKind.BRIEF_CAPTION: "brief_caption",
    LabelKind.DETAILED_CAPTION: "detailed_caption",
    LabelKind.OCR: "text",
}
RIGHT, WRONG = "right", "wrong"

CONFIG = f"""<View>
  <Style>
    .fo1-why {{ padding: .5em .75em; background: #fff7e0; border-left: 3px solid #e0a100; margin: 0 0 .5em; }}
  </Style>
  <View className="fo1-why"><Header value="$why" size="6"/></View>
  <Image name="{IMAGE}" value="$image" zoom="true" zoomControl="true" rotateControl="false" maxWidth="100%"/>
  <RectangleLabels name="{BOX}" toName="{IMAGE}" canRotate="false" opacity="0.15" strokeWidth="2">
    <Label value="{LABEL}" background="#1f77d0" selected="true"/>
  </RectangleLabels>
  <View visibleWhen="region-selected">
    <Header value="Caption of this region" size="6"/>
    <TextArea name="brief_caption" toName="{IMAGE}" perRegion="true" editable="true" maxSubmissions="1"
      rows="1" placeholder="a short caption"/>
    <Header value="Detailed caption" size="6"/>
    <TextArea name="detailed_caption" toName="{IMAGE}" perRegion="true" editable="true" maxSubmissions="1"
      rows="3" placeholder="a sentence or more"/>
    <Header value="Text in this region" size="6"/>
    <TextArea name="text" toName="{IMAGE}" perRegion="true" editable="true" maxSubmissions="1" rows="1"
      placeholder="what can be read here"/>
    <Header value="Phrases that mean this region" size="6"/>
    <Choices name="{PHRASES}" toName="{IMAGE}" perRegion="true" choice="multiple" value="$phrases"
      layout="inline"/>
    <Choices name="{VERDICT}" toName="{IMAGE}" perRegion="true" choice="single-radio" showInline="true">
      <Choice value="{RIGHT}" hotkey="r"/>
      <Choice value="{WRONG}" hotkey="w"/>
    </Choices>
  </View>
  <Header value="Caption of the image" size="6"/>
  <TextArea name="{CAPTION}" toName="{IMAGE}" editable="true" maxSubmissions="1" rows="2"/>
  <Header value="Counts, one a line: phrase = number" size="6"/>
  <TextArea name="{COUNTS}" toName="{IMAGE}" editable="true" maxSubmissions="1" rows="2"/>
  <Header value="Comment" size="6"/>
  <TextArea name="{COMMENT}" toName="{IMAGE}" editable="true" maxSubmissions="1" rows="1"/>
</View>"""

INSTRUCTION = (
    "Look at every box: correct its caption, move it where it does not fit, delete it where nothing is, "
    "add what is missing. What you leave as it is counts as right; mark a region wrong where you cannot say "
    "what is right. Submit when the image is as it should be."
)
