"""The settings of a run that say where and in which portions it is done."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schemas.problems import NUMBER_OR_RANGE
from schemas.setting_marks import Setting, SettingGroup
from schemas.setting_values import Actors

_PLACEMENT = Setting(SettingGroup.PLACEMENT, changes_rows=False)


class PlacementSettings(BaseModel):
    """Cluster, actors, device, shards and memory. Memory is in bytes, times are in seconds."""

    address: Annotated[str | None, _PLACEMENT] = Field(
        default=None,
        description="Ray cluster: `auto`, `HOST:PORT`, or `in-process` for this process alone, without Ray. "
        "Default: a local Ray, or the cluster that RAY_ADDRESS names.",
    )
    actors: Annotated[Actors, _PLACEMENT] = Field(
        default="1",
        pattern=NUMBER_OR_RANGE,
        description="Number of labelling actors: `N`, or `MIN:MAX` on a cluster that grows and shrinks.",
    )
    cpus_per_actor: Annotated[float, _PLACEMENT] = Field(
        default=1.0, gt=0, description="CPUs that each actor reserves."
    )
    gpus_per_actor: Annotated[float | None, _PLACEMENT] = Field(
        default=None,
        ge=0,
        description="GPUs that each actor reserves; fractions are allowed. "
        "Default: 1 if the cluster has GPUs, else 0.",
    )
    device: Annotated[str | None, _PLACEMENT] = Field(
        default=None,
        description="Device of the model: `cpu`, `cuda` or `cuda:N`. Default: `cuda` if there is a GPU.",
    )
    dtype: Annotated[Literal["float32", "bfloat16"] | None, Setting(SettingGroup.PLACEMENT)] = Field(
        default=None,
        description="Number type of the model. Default: `bfloat16` on a GPU, `float32` on a CPU.",
    )
    object_store_bytes: Annotated[int, _PLACEMENT] = Field(
        default=200 * 2**20,
        ge=80 * 2**20,
        description="Memory of a local Ray's object store, in bytes. Pixels never pass through it.",
    )
    batch_images: Annotated[int, _PLACEMENT] = Field(
        default=8, ge=1, description="Images that the engine holds open at once."
    )
    engine_bytes: Annotated[int | None, _PLACEMENT] = Field(
        default=None,
        ge=2**20,
        description="Memory of the engine for open images and their answers, in bytes. "
        "Default: half of the device's free memory, at most 1 GiB on a CPU.",
    )
    shard_size: Annotated[int, Setting(SettingGroup.PLACEMENT)] = Field(
        default=32,
        ge=1,
        le=10_000,
        description="Images in a shard. A shard is the unit of work and of resuming.",
    )
    file_rows: Annotated[int, _PLACEMENT] = Field(
        default=50_000,
        ge=1,
        description="Most images of finished shards that are gathered into a file for each split, while the "
        "run goes on. A resumed run keeps the limits that it was begun with.",
    )
    file_bytes: Annotated[int, _PLACEMENT] = Field(
        default=256 * 2**20,
        ge=1,
        description="Most bytes of rows that are gathered into a file for each split, as they are before "
        "compression: pixels, if they are embedded, and labels.",
    )
    max_tries: Annotated[int, _PLACEMENT] = Field(
        default=3,
        ge=1,
        description="How often one image may crash its actor before it is rejected.",
    )
    placement_timeout_s: Annotated[float, _PLACEMENT] = Field(
        default=300.0,
        ge=0,
        description="How long to wait until the cluster has room for the actors, in seconds.",
    )

    @property
    def actor_range(self) -> tuple[int, int]:
        """The smallest and the largest number of labelling actors."""
        low, _, high = self.actors.partition(":")
        return int(low), int(high or low)
