"""The settings of a run that say what is labelled, and by which model."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from schemas.labels import LabelKind
from schemas.setting_marks import Setting, SettingGroup
from schemas.setting_values import Kinds, Words

DEFAULT_LABELS = [LabelKind.BRIEF_CAPTION, LabelKind.GROUNDED_CAPTION]

_LABELS = Setting(SettingGroup.LABELS)


class LabelSettings(BaseModel):
    """What is labelled. Raises ValidationError where a kind of label lacks what it needs."""

    name: Annotated[str | None, _LABELS] = Field(
        default=None,
        description="Name of the dataset. Default: the last part of the corpus' address.",
    )
    model: Annotated[str, _LABELS] = Field(
        default="fo1-tiny",
        description="Checkpoint to use: `fo1-tiny` (bundled), a folder or URL in the layout of VLM-FO1, "
        "or a hub id (`owner/name`).",
    )
    proposals: Annotated[str, _LABELS] = Field(
        default="auto",
        description="Source of the boxes: `corpus`, `fo1-tiny` (the bundled detector), `auto` (the corpus if "
        "it has boxes, else `fo1-tiny`), a file of boxes (JSONL, Parquet by file name; GeoParquet, GeoJSON "
        "or GeoPackage, by coordinates), a folder of `fo1 train-detector`, or the folder or hub id of a "
        "transformers detector, of SAM 3 or of Florence-2.",
    )
    masks: Annotated[str | None, _LABELS] = Field(
        default=None,
        description="Checkpoint of SAM 2 or SAM 3, a folder or hub id, that gives every region without a "
        "mask one, from its box. Default: none, only `proposals` may give masks.",
    )
    labels: Annotated[Kinds, _LABELS] = Field(
        default=DEFAULT_LABELS,
        min_length=1,
        description="Kinds of labels to make. `detect` and `count` need `vocabulary`, `ask` needs "
        "`question`, `ground` takes the phrases of the corpus or of `phrases`.",
    )
    vocabulary: Annotated[Words, _LABELS] = Field(
        default=[],
        description="Words to detect and count; a zero-shot detector looks for them. `@corpus` stands for "
        "the words that an image's own counts name.",
    )
    phrases: Annotated[str | None, _LABELS] = Field(
        default=None,
        description="File of phrases to ground in every image, one a line; a zero-shot detector looks for "
        "them too. "
        "Default: the phrases that the corpus has for each image.",
    )
    question: Annotated[str | None, _LABELS] = Field(
        default=None,
        description="Question of the label kind `ask`. It is asked about every region if it contains "
        "`{region}`, else once for each image. Default: none.",
    )
    embed_images: Annotated[bool, _LABELS] = Field(
        default=False, description="Store the bytes of the images in the dataset."
    )
    parent: Annotated[str | None, _LABELS] = Field(
        default=None,
        description="Finished dataset to take the rows of images from that were labelled there before. "
        "Default: none.",
    )
    replay_rejects: Annotated[bool, Setting(SettingGroup.LABELS, changes_rows=False)] = Field(
        default=False, description="Try the rejected inputs of `out` again."
    )

    @model_validator(mode="after")
    def _words_are_there(self) -> Self:
        kinds = set(self.labels)
        if kinds & {LabelKind.DETECT, LabelKind.COUNT} and not self.vocabulary:
            raise ValueError("labels detect and count need a vocabulary, such as cat,dog")
        if LabelKind.ASK in kinds and not self.question:
            raise ValueError("label ask needs a question")
        return self
