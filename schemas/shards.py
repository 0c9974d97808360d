"""What a run in work keeps of its shards: the files of a try, its report, and the markers of what is done."""

from pydantic import BaseModel, ConfigDict

from schemas.dataset import Counts


class ShardFile(BaseModel):
    """One Parquet file of one try. `path`: relative to the dataset's folder, until the dataset is sealed.

    `row_group_rows`, `schema_revision`: as in `ManifestFile`.
    """

    model_config = ConfigDict(extra="forbid")

    split: str | None
    path: str
    num_rows: int
    num_bytes: int
    sha256: str
    row_group_rows: list[int] | None = None
    schema_revision: int = 0


class ShardReport(BaseModel):
    """The result of one try of a shard: all that is sent back to the driver.

    `rejects`, `videos`, `tracks`: the files of its rejects, videos and tracks (`split` null), null if there
    are none. `seconds` is wall time from the shard's start to its last file. `row_bytes`: about how many
    bytes its rows take in memory; 0 if it was written by a version that did not count them.
    """

    model_config = ConfigDict(extra="ignore")

    shard_id: str
    index: int
    try_id: str
    files: list[ShardFile]
    rejects: ShardFile | None = None
    videos: ShardFile | None = None
    tracks: ShardFile | None = None
    counts: Counts
    seconds: float = 0.0
    row_bytes: int = 0

    @property
    def all_files(self) -> list[ShardFile]:
        """Every file of the try."""
        others = (self.rejects, self.videos, self.tracks)
        return [*self.files, *(file for file in others if file is not None)]


class FileLimits(BaseModel):
    """The largest data file of a run: `rows`, and `row_bytes` of rows as they are in memory."""

    model_config = ConfigDict(extra="forbid")

    rows: int = 50_000
    row_bytes: int = 256 * 2**20


class GroupReport(BaseModel):
    """The marker of a group of shards whose files were gathered: the files of the try that counts.

    The group holds the shards with the indices `first_index` to `last_index`. `rejects`, `videos`, `tracks`:
    as of a shard.
    """

    model_config = ConfigDict(extra="ignore")

    first_index: int
    last_index: int
    try_id: str
    files: list[ShardFile]
    rejects: ShardFile | None = None
    videos: ShardFile | None = None
    tracks: ShardFile | None = None


class ShardImage(BaseModel):
    """An image that has a row in a shard, so that equal images in two shards are found at the end.

    `annotations_sha256`: of what the corpus says of it, null if it says nothing.
    """

    model_config = ConfigDict(extra="ignore")

    image_id: str
    uris: list[str]
    annotations_sha256: str | None = None


class ShardMarker(ShardReport):
    """The marker of a shard that is done: the report of the try that counts, and the images it holds."""

    images: list[ShardImage]
