"""The settings of `fo1 train`: TOML in, unknown keys refused. Imports no torch."""

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fo1_data.errors import ConfigError


class TrainConfig(BaseModel):
    """Everything that decides a training run's result, beside its data. Rates are per step.

    `auxiliary_parts`: prefixes of the auxiliary encoder's weights that stage 2 trains, as in
    `fo1 model info` without `vision_tower_aux.`; `box_jitter`: each side of a box moves by up to this
    share of the box's sides.

    `lora_rank`: stage 2 trains low-rank adapters in place of the language model's own weights (`adapters`);
    of its embeddings the tokens that VLM-FO1 adds alone. 0: none.

    `batch_images`: of a whole step, over all workers; each works its part off in `accumulation` pieces.
    `negative_share`: which part of the phrases asked for is not in the image, `near_miss_share` of those that
    are made up for it being near misses. An answer counts `human_weight` where a person gave or confirmed it,
    a model's by its confidence (`confidence_weights`), gold's once. `names_as_phrases`: captions are names of
    kinds: where all boxes of an image have one, each is asked for too.

    `mirror_share`, `crop_share`: of the images, which are mirrored (where nothing said speaks of a side and
    nothing is written) or cut down around all their boxes (where nothing speaks of a place);
    `light_jitter`: brightness and contrast change by up to this share of themselves (`augmentation`). Rare is
    what less than `rare_below` of the images have: `repeat_rare`: such images come more often;
    `paste_share`: of the images, which get a rare region of another one where they have no box
    (`rare_regions`).

    `distractor_share`: of the images, which are shown with boxes of `distractor_proposals` (what `fo1 label
    --proposals` takes) beside their own, where nothing is labelled (`distractors`).

    `window_groups`: row groups that are held and shuffled together. `sharding`: what each worker holds but
    its part of: nothing, the optimiser's state (a 3B model's is 24 GB), or the language model's weights with
    their gradients and states too.
    """

    model_config = ConfigDict(extra="forbid")

    steps: int = Field(default=1000, ge=1)
    batch_images: int = Field(default=4, ge=1)
    questions_per_image: int = Field(default=12, ge=1)
    learning_rate: float = Field(default=2e-4, gt=0)
    warmup_steps: int = Field(default=30, ge=0)
    decay_share: float = Field(default=0.4, ge=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    auxiliary_parts: tuple[str, ...] = ("convs.2.", "blocks.2.", "convs.3.", "blocks.3.")
    lora_rank: int = Field(default=0, ge=0)
    box_jitter: float = Field(default=0.04, ge=0, le=0.5)
    shuffle_boxes: bool = True
    save_every: int = Field(default=200, ge=1)
    accumulation: int = Field(default=1, ge=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    sharding: Literal["none", "optimizer", "weights"] = "none"
    negative_share: float = Field(default=0.3, ge=0, le=1)
    near_miss_share: float = Field(default=0.5, ge=0, le=1)
    names_as_phrases: bool = False
    mirror_share: float = Field(default=0.0, ge=0, le=1)
    crop_share: float = Field(default=0.0, ge=0, le=1)
    light_jitter: float = Field(default=0.0, ge=0, lt=1)
    rare_below: float = Field(default=0.1, gt=0, le=1)
    repeat_rare: bool = False
    paste_share: float = Field(default=0.0, ge=0, le=1)
    distractor_share: float = Field(default=0.0, ge=0, le=1)
    distractor_proposals: str = "fo1-tiny"
    human_weight: float = Field(default=2.0, gt=0)
    confidence_weights: bool = True
    window_groups: int = Field(default=4, ge=1)
    seed: int = Field(default=0, ge=0)
    threads: int | None = Field(default=None, ge=1)
    device: str | None = None

    @model_validator(mode="after")
    def _adapters_stay_whole(self) -> Self:
        if self.lora_rank and self.sharding == "weights":
            raise ValueError("lora_rank goes with sharding none or optimizer, not with weights")
        return self


Stage = Literal[1, 2]


def load_train_config(path: str | None, steps: int | None = None) -> TrainConfig:
    """The settings of a TOML file, `steps` over them. ConfigError of one line for what does not fit."""
    settings: dict[str, object] = {}
    if path is not None:
        try:
            settings = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"--config {path}: cannot be read as TOML: {error}") from error
    if steps is not None:
        settings["steps"] = steps
    try:
        return TrainConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        setting = f"setting {name} of training" if name else "settings of training"
        told = str(first["msg"]).removeprefix("Value error, ")
        raise ConfigError(f"{setting}: {told}") from None
