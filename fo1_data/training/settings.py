"""The settings of `fo1 train`, read from TOML; unknown keys are refused. Imports no torch.

Each field is described once, here: the command line's help and `docs/settings.md` are made from it.
"""

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fo1_data.errors import ConfigError, one_line
from fo1_data.model.configuration import OCR_CROP_MIN_PIXELS
from fo1_data.storage.addresses import normalise
from fo1_data.training.events import AnswerKind
from schemas.problems import problem_parts


class LoggerName(StrEnum):
    """A service that keeps the curves of training runs."""

    WANDB = "wandb"
    MLFLOW = "mlflow"
    AIM = "aim"


# A search takes a tenth of the time of so many.
_STEPS_WORTH_A_SEARCH = 400


class TrainConfig(BaseModel):
    """Everything that decides the result of a training run, besides its data."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    steps: int = Field(default=1000, ge=1, description="Optimiser steps of the whole run.")
    epochs: float | None = Field(
        default=None,
        gt=0,
        description="Passes over the training images, in place of `steps`. Default: `steps`.",
    )
    batch_images: int = Field(default=4, ge=1, description="Images per step, over all workers.")
    questions_per_image: int = Field(
        default=12, ge=1, description="At most this many questions about each image of a step."
    )
    learning_rate: float = Field(
        default=2e-4, gt=0, description="Learning rate between warm-up and decay, per step."
    )
    find_learning_rate: bool | None = Field(
        default=None,
        description="Find the learning rate before the first step, by up to 40 steps at growing rates; it "
        "takes the place of `learning_rate`. Default: in a run of at least 400 steps without "
        "`learning_rate`.",
    )
    warmup_steps: int = Field(
        default=30, ge=0, description="Steps over which the learning rate rises linearly from 0."
    )
    decay_share: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="Last share of the steps over which the learning rate falls linearly to 0.",
    )
    weight_decay: float = Field(
        default=0.01,
        ge=0,
        description="Weight decay of AdamW, on matrices and kernels; not on norms, biases and embeddings.",
    )
    clip_norm: float = Field(
        default=1.0, gt=0, description="Gradients are scaled down to at most this norm, over all workers."
    )
    auxiliary_parts: tuple[str, ...] = Field(
        default=("convs.2.", "blocks.2.", "convs.3.", "blocks.3."),
        description="Weights of the auxiliary encoder that stage 2 trains: prefixes of their names as in "
        "`fo1 model info`, without `vision_tower_aux.`.",
    )
    primary_parts: tuple[str, ...] = Field(
        default=(),
        description="Weights of the base's vision tower that stage 2 trains: prefixes of their names as in "
        "`fo1 model info`, without `vision_tower.`. Default: none.",
    )
    ocr_crop_min_pixels: int | None = Field(
        default=None,
        ge=1,
        description="Read texts from crops of their boxes, at their own resolution but enlarged to this "
        "area in pixels; the checkpoint then labels so too. Default: as the checkpoint does.",
    )
    lora_rank: int = Field(
        default=0,
        ge=0,
        description="Rank of the low-rank adapters (LoRA) that stage 2 trains instead of the language "
        "model's own weights; of the embeddings, only those of the tokens that VLM-FO1 adds train. "
        "0: no adapters.",
    )
    keep_apart: bool = Field(
        default=False,
        description="With `lora_rank`: also write what was trained apart from the model, to `apart/`; "
        "`fo1 model merge` joins it with the model again.",
    )
    box_jitter: float = Field(
        default=0.04,
        ge=0,
        le=0.5,
        description="Each side of a box moves by up to this share of the box's width or height.",
    )
    shuffle_boxes: bool = Field(
        default=True, description="Show the boxes of an image in a random order instead of the dataset's."
    )
    save_every: int = Field(
        default=200, ge=1, description="Write checkpoint and resume state every this many steps."
    )
    validation_share: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the images to hold out for validation, of datasets without a split "
        "`validation` and of corpora; always the same images. Not used with --validation.",
    )
    validate_every: int | None = Field(
        default=None,
        ge=1,
        description="Measure loss and accuracy every this many steps. Default: ten times in a run, "
        "or less often if that took over a quarter of its time; always before the first step and after the "
        "last.",
    )
    measured_images: int = Field(
        default=32,
        ge=0,
        description="Measure on this many validation images and as many training images, drawn once by the "
        "seed. 0: measure nothing.",
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Stop after this many measurements in a row without a better one. Default: never.",
    )
    loggers: tuple[LoggerName, ...] = Field(
        default=(),
        description="Services to log to besides the files of the run: `wandb`, `mlflow`, `aim`. Each needs "
        "its own package, and its own settings from the environment.",
    )
    accumulation: int = Field(
        default=1,
        ge=1,
        description="Each worker computes its images of a step in at most this many pieces, one after "
        "another, to use less memory.",
    )
    feature_cache_gib: float | None = Field(
        default=None,
        ge=0,
        description="Disk space, in GiB, for features of the parts of both encoders that do not train: an "
        "image is decoded and encoded once. Off where images are varied (mirror, crop, light, paste, "
        "distractors). Default: 10 on a CPU, 0 on a GPU.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="Precision of the forward pass (autocast); weights and optimiser state stay in float32.",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute the decoder's activations again in the backward pass: less memory, more time.",
    )
    sharding: Literal["none", "optimizer", "weights"] = Field(
        default="none",
        description="What is divided among the workers: `none`, the optimiser state (`optimizer`; 24 GB for "
        "a 3B model), or also the language model's weights and gradients (`weights`).",
    )
    negative_share: float = Field(
        default=0.3, ge=0, le=1, description="Share of the questions about phrases whose phrase is absent."
    )
    near_miss_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the generated absent phrases that are near misses: they have a word in common "
        "with something in the image.",
    )
    labels_as_captions: bool = Field(
        default=True, description="Teach a box's class as its brief caption if it has none."
    )
    names_as_phrases: bool = Field(
        default=False,
        description="Captions are names of kinds: if all boxes of an image have one, ask for each as a "
        "phrase too.",
    )
    mirror_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the images to mirror; never one with readable text or a label that names a "
        "side.",
    )
    crop_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the images to crop to a part that holds all their boxes; never one with a "
        "label of the whole image or a label that names a place in it.",
    )
    light_jitter: float = Field(
        default=0.0, ge=0, lt=1, description="Brightness and contrast change by up to this share."
    )
    rare_below: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="A name is rare if less than this share of the images have a region of that name.",
    )
    repeat_rare: bool = Field(
        default=False, description="Show images with rare names several times per epoch."
    )
    paste_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the images into which a rare region of another image is pasted, away from "
        "their boxes.",
    )
    distractor_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the images shown with unlabelled boxes of `distractor_proposals` besides "
        "their own.",
    )
    distractor_proposals: str = Field(
        default="fo1-tiny",
        description="Proposer of the unlabelled boxes: the values of `fo1 label --proposals`.",
    )
    human_weight: float = Field(
        default=2.0,
        gt=0,
        description="Loss weight of an answer that a person gave or confirmed; the corpus' own gold has 1.",
    )
    confidence_weights: bool = Field(
        default=True,
        description="Weight a model's answer by its confidence; answers without a confidence have weight 1.",
    )
    kind_weights: dict[AnswerKind, Annotated[float, Field(ge=0)]] = Field(
        default={},
        description="Loss weight of the answers of a kind (`caption`, `phrase`, `absent`, `count`, `text`, "
        "`question`), times that of the label; 0: not trained. Other kinds have 1.",
    )
    source_weights: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={},
        description="How often the images of a dataset or corpus are shown, by its address in the command: "
        "with twice the weight, twice as often. Others have 1; the smallest is shown once per epoch.",
    )
    chats: str | None = Field(
        default=None,
        description="General questions to train beside the images, so that the language model forgets less: "
        'a file of JSON lines, each `{"question": ..., "answer": ...}` and, if it is about a whole image, '
        "its `image` (a path from the file's folder, or an address). Default: none.",
    )
    chats_per_step: int = Field(
        default=4, ge=1, description="So many of the `chats` in each step, over all workers."
    )
    window_groups: int = Field(
        default=4, ge=1, description="Row groups that are held in memory and shuffled together."
    )
    seed: int = Field(default=0, ge=0, description="Seed of every random draw of the run.")
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads of torch in each worker. Default: torch's own choice."
    )
    device: str | None = Field(
        default=None, description="Torch device, such as `cpu` or `cuda:0`. Default: a GPU if there is one."
    )

    @property
    def leaves_learning_rate_open(self) -> bool:
        """Whether a run that goes on keeps the learning rate that it had, found or not."""
        return bool(self.find_learning_rate) or "learning_rate" not in self.model_fields_set

    @property
    def searches_learning_rate(self) -> bool:
        """Whether the learning rate is found before the first step."""
        if self.find_learning_rate is not None:
            return self.find_learning_rate
        return self.steps >= _STEPS_WORTH_A_SEARCH and "learning_rate" not in self.model_fields_set

    @property
    def checkpoint_settings(self) -> dict[str, Any]:
        """What the run changes in the configuration of its checkpoint."""
        if self.ocr_crop_min_pixels is None:
            return {}
        return {OCR_CROP_MIN_PIXELS: self.ocr_crop_min_pixels}

    @property
    def changes_pixels(self) -> bool:
        """Whether an image may look different each time, or its pixels are needed for more than the model."""
        shares = (
            self.mirror_share,
            self.crop_share,
            self.light_jitter,
            self.paste_share,
            self.distractor_share,
        )
        return any(shares)

    @field_validator("chats")
    @classmethod
    def _normalise_address(cls, address: str | None) -> str | None:
        return address and normalise(address)

    @field_validator("source_weights")
    @classmethod
    def _normalise_addresses(cls, weights: dict[str, float]) -> dict[str, float]:
        # Here, because workers run in another folder.
        return {normalise(address): weight for address, weight in weights.items()}

    @model_validator(mode="after")
    def _refuse_sharded_adapters(self) -> Self:
        if self.lora_rank and self.sharding == "weights":
            raise ValueError("lora_rank works with sharding none or optimizer, not with weights")
        if self.keep_apart and not self.lora_rank:
            raise ValueError("keep_apart needs lora_rank: without adapters the whole language model trains")
        return self


Stage = Literal[1, 2]


def load_train_config(path: str | None, steps: int | None = None, epochs: float | None = None) -> TrainConfig:
    """Read settings from the TOML file at `path`, or the defaults; `steps` or `epochs` override the length.

    Raises ConfigError with a one-line message if the file cannot be read or a setting is not valid.
    """
    settings: dict[str, object] = {}
    if path is not None:
        try:
            settings = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigError(f"--config {path}: cannot be read as TOML: {one_line(error)}") from error
    if steps is not None and epochs is not None:
        raise ConfigError("--steps and --epochs both set the length of the run: give one of them")
    if steps is not None or epochs is not None:
        settings.pop("epochs", None)
    settings |= {name: value for name, value in (("steps", steps), ("epochs", epochs)) if value is not None}
    try:
        return TrainConfig.model_validate(settings)
    except ValidationError as error:
        name, message = problem_parts(error)
        setting = f"setting {name} of training" if name else "settings of training"
        raise ConfigError(f"{setting}: {message}") from None
