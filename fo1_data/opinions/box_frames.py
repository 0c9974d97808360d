"""How a second model of transformers reads boxes: a property of its family. Loads nothing."""

from fo1_data.errors import ConfigError
from fo1_data.model.bases.families import FAMILIES, family_of_base
from fo1_data.model.bases.family import BoxFrame


def box_frame_of(spec: str, model_type: str) -> BoxFrame:
    """The frame of boxes of the checkpoint `spec`. Raises ConfigError if none is known."""
    family = family_of_base(model_type)
    if family is not None and family.box_frame is not None:
        return family.box_frame
    known = ", ".join(family.base_type for family in FAMILIES if family.box_frame is not None)
    raise ConfigError(
        f"--second-opinion-view box: how {model_type} ({spec}) reads boxes is not known; known: {known}; "
        "leave it out"
    )
