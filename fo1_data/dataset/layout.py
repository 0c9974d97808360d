"""The names inside a dataset's folder, relative to it; and the version of the code that writes there.

data/<split>-NNNNN.parquet  rejects.parquet  videos.parquet  tracks.parquet  manifest.json  README.md
.run/  what a run in work keeps; a replay of rejects has a run folder of its own below it
"""

import re
from importlib.metadata import PackageNotFoundError, version

MANIFEST = "manifest.json"
REJECTS = "rejects.parquet"
VIDEOS = "videos.parquet"
TRACKS = "tracks.parquet"
CARD = "README.md"
RUN = ".run"
LEASES = f"{RUN}/lease"
PROGRESS = f"{RUN}/progress.json"
LISTING = f"{RUN}/listing.json.gz"
WEIGHTS = f"{RUN}/weights.json"

_DATA_FILE = re.compile(r"data/(?P<split>[^/]+)-(?P<index>\d{5,})\.parquet")


def data_file(split: str, index: int) -> str:
    """Where the rows of one split lie, of shard `index` or of the group of shards that begins with it."""
    return f"data/{split}-{index:05d}.parquet"


def split_and_index(path: str) -> tuple[str, int] | None:
    """The split and shard index that a data file's path names; None for other files."""
    match = _DATA_FILE.fullmatch(path)
    return (match["split"], int(match["index"])) if match else None


def older_name(path: str, version: str) -> str:
    """The name of a table beside `data/`, such as `TRACKS`, of an earlier version in the same folder."""
    return f"{path.removesuffix('.parquet')}.{version}.parquet"


def is_table(path: str, table: str) -> bool:
    """Whether `path` is the file of `table` (`REJECTS`, `VIDEOS`, `TRACKS`) of some version of a folder."""
    stem = table.removesuffix(".parquet")
    return path == table or re.fullmatch(rf"{stem}\.[^/]+\.parquet", path) is not None


def fingerprint_file(run: str) -> str:
    return f"{run}/fingerprint.json"


def marker(run: str, shard_id: str) -> str:
    """The file whose presence says that a shard is done, and whose content says by which try."""
    return f"{run}/shards/{shard_id}.json"


def markers(run: str) -> str:
    return f"{run}/shards"


def file_limits(run: str) -> str:
    """The limits of the data files that a run was begun with."""
    return f"{run}/file_limits.json"


def group_marker(run: str, first_index: int) -> str:
    """The file whose presence says that the shards from `first_index` are gathered, and by which try."""
    return f"{run}/groups/{first_index:05d}.json"


def group_markers(run: str) -> str:
    return f"{run}/groups"


def group_folder(run: str, first_index: int, try_id: str) -> str:
    """Where one try to gather a group of shards writes, and nobody else."""
    return f"{run}/tries/group-{first_index:05d}-{try_id}"


def try_folder(run: str, index: int, try_id: str) -> str:
    """Where one try of a shard writes, and nobody else."""
    return f"{run}/tries/{index:05d}-{try_id}"


def tile_steps(run: str, shard_id: str) -> str:
    """Where the labelled tiles of a shard lie until the shard is written."""
    return f"{run}/tiles/{shard_id}"


def video_steps(run: str, shard_id: str) -> str:
    """Where the labelled shots of a video lie until its shard is written."""
    return f"{run}/videos/{shard_id}"


def tries(run: str) -> str:
    return f"{run}/tries"


def code_version() -> str:
    """The installed version of fo1-data."""
    try:
        return version("fo1-data")
    except PackageNotFoundError:
        return "unknown"
