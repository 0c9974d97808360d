"""The settings of a labelling run: one model for the command line, a TOML file and a job's JSON.

Each field is described once, in the file of its subject. `fo1 label --help`, the OpenAPI text of
`POST /v1/jobs` and `docs/settings.md` are made from it. If a setting has no value by default, the last
sentence of its description, after `Default:`, says what that means.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.confidence_settings import ConfidenceSettings
from schemas.input_settings import InputSettings
from schemas.label_settings import LabelSettings
from schemas.placement_settings import PlacementSettings
from schemas.setting_marks import Setting, setting_of


class _Ends(BaseModel):
    """Where a run begins and ends."""

    corpus: str = Field(
        description="What to label: a folder, a glob, a list of URIs (`.txt`, `.jsonl` or Parquet), a "
        "dataset folder, COCO JSON, Pascal VOC, YOLO, WebDataset tars or an `annotations.jsonl`; "
        "a path or a URL."
    )
    out: Annotated[str, Setting(changes_rows=False)] = Field(
        description="Folder or URL to write the dataset to. A run that was begun there is resumed."
    )


# Pydantic takes the fields of the last base first.
class RunConfig(InputSettings, PlacementSettings, ConfidenceSettings, LabelSettings, _Ends):
    """Every setting of `fo1 label`. Unknown keys are refused; units are in the names."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


NOT_IN_FINGERPRINT = frozenset(
    name for name, field in RunConfig.model_fields.items() if not setting_of(field).changes_rows
)
