"""What a run will label: the corpus listed and cut into shards, and what can be refused beforehand."""

import os
import shutil
from dataclasses import dataclass, field, replace

from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.corpus.dicom.decoders import decoder_versions
from fo1_data.corpus.dicom.settings import dicom_settings
from fo1_data.corpus.entry_list import EntryList
from fo1_data.corpus.hiding import hide_words
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.listing import Listing
from fo1_data.corpus.listing_progress import ListingProgress
from fo1_data.corpus.readers import load_listing
from fo1_data.corpus.shards import ShardPlan, plan_shards
from fo1_data.corpus.tile_listing import TileSettings, tile_listing
from fo1_data.corpus.tracked_videos import group_videos, is_tracked
from fo1_data.dataset.lease import refuse_held
from fo1_data.dataset.manifest import find_manifest, read_manifest
from fo1_data.dataset.replay import replay_entries
from fo1_data.errors import CheckpointError, ConfigError, StorageError
from fo1_data.labelling.word_lists import read_phrases, refuse_unknown_words
from fo1_data.plurals import counted
from fo1_data.proposals.boxes_files import load_boxes_file
from fo1_data.proposals.identity import SAM3_VIDEO, is_boxes_file, is_detector, model_type_of
from fo1_data.runs.fingerprint import DECODERS, ListedCorpus
from fo1_data.runs.out_place import asking_place
from fo1_data.runs.tile_choice import TileChoice, choose_tiles
from fo1_data.storage.store import open_store
from fo1_data.tracking.names import SAM3, check_tracker
from schemas.corpus import NOT_KEPT
from schemas.dataset import Manifest
from schemas.images import Reject
from schemas.jobs import RunConfig
from schemas.sources import SourceCounts

# Less cannot hold a dataset of even a few images with its progress and markers.
MIN_FREE_BYTES = 64 * 1024


@dataclass(frozen=True)
class PlannedRun:
    """What a run will label: its shards, the rejects of the listing, and the account of its sources.

    `images`: as they were listed; the shards have tiles in place of the `num_cut` images that were cut.
    `config`: the settings, with what `auto` came to, and `choice` why. is_hidden: whether no address of the
    corpus may be written; see `corpus.hiding`. has_dicom: whether the corpus has DICOM files. `num_videos`:
    those of the entries that are tracked.
    """

    config: RunConfig
    images: EntryList
    shards: ShardPlan
    listing_rejects: list[Reject] = field(default_factory=list)
    sources: list[SourceCounts] = field(default_factory=list)
    num_cut: int = 0
    choice: TileChoice | None = None
    is_hidden: bool = False
    has_dicom: bool = False
    num_videos: int = 0

    @property
    def corpus(self) -> ListedCorpus:
        """The corpus as the run's fingerprint has it."""
        decoders = decoder_versions() if self.has_dicom else ()
        return ListedCorpus(
            self.shards.listing_sha256, self.is_hidden, decoders, has_tracks=self.num_videos > 0
        )

    @property
    def num_images(self) -> int:
        return len(self.images)

    @property
    def num_tiles(self) -> int:
        """How many tiles there are, the whole images that were cut included."""
        return len(self.shards.entries) - (len(self.images) - self.num_cut) if self.num_cut else 0


def plan_run(config: RunConfig, progress: ListingProgress | None = None) -> PlannedRun:
    """List the corpus (or, to replay them, the rejects of `out`) and cut it into shards.

    Raises every error that can be found before a labeller starts: CorpusError if there is nothing to label,
    ConfigError if `out` cannot be written or a setting is unusable, LeaseError if another driver is running,
    StorageError if a store fails.
    """
    _refuse_unwritable(config.out)
    with asking_place(config.out):
        refuse_held(open_store(config.out))
    if config.replay_rejects:
        return _rejects_again(config)
    return list_corpus(config, progress)


def list_corpus(config: RunConfig, progress: ListingProgress | None = None) -> PlannedRun:
    """List the corpus and cut it into shards. Raises CorpusError, and ConfigError for an unusable setting."""
    refuse_unknown_words(config)
    read_phrases(config.phrases)
    if config.tracker is not None and config.tracker_name is not None:
        check_tracker(config.tracker_name)
    if config.calibration is not None:
        read_calibration(config.calibration)
    listing = _load_listing(config, progress)
    if listing.has_videos:
        config = _with_tracker(config)
        _check_tracking(config)
    entries, rejects, sources = listing.entries, listing.rejects, listing.sources
    if is_boxes_file(config.proposals):
        boxes = load_boxes_file(config.proposals)
        entries, more, account = boxes.pair_with(list(entries), is_whole=config.limit is None)
        rejects, sources = [*rejects, *more], [*sources, account]
        if listing.is_hidden:
            rejects, sources = hide_words(rejects, sources)
    entries = entries if isinstance(entries, EntryList) else EntryList(entries)
    planned = _cut(config, entries, rejects, sources, has_videos=listing.has_videos)
    return replace(planned, is_hidden=listing.is_hidden, has_dicom=listing.has_dicom)


def _with_tracker(config: RunConfig) -> RunConfig:
    """The settings with SAM 3 as the tracker if they name none and it finds the boxes; otherwise as they are.

    Raises CheckpointError for a detector that cannot be read here.
    """
    if config.tracker is not None or config.tracker_name is None or not is_detector(config.proposals):
        return config
    try:
        follows_itself = model_type_of(config.proposals) == SAM3_VIDEO
    except CheckpointError as error:
        raise CheckpointError(f"{error} (with --tracker NAME only the labellers read it)") from error
    return config.model_copy(update={"tracker": SAM3}) if follows_itself else config


def _check_tracking(config: RunConfig) -> None:
    """Raise ConfigError if the settings do not suit videos that are tracked."""
    if config.tracker_name is not None:
        check_tracker(config.tracker_name)
    if config.tracker == SAM3 and not is_detector(config.proposals):
        raise ConfigError("--tracker sam3 needs a checkpoint of SAM 3 with its tracker as --proposals")
    if is_boxes_file(config.proposals):
        raise ConfigError(
            "a file of boxes is not followed through videos: give their tracks as the corpus, "
            "take a detector, or label single frames with --tracker none"
        )
    if config.parent is not None:
        raise ConfigError(
            "--parent takes over no tracks: name only new videos, or label single frames with --tracker none"
        )


def _cut(
    config: RunConfig,
    images: EntryList,
    rejects: list[Reject],
    sources: list[SourceCounts],
    *,
    has_videos: bool,
) -> PlannedRun:
    """The run that labels these images, those that are larger than a tile in tiles, and videos each alone."""
    choice = None
    if config.tile_px == "auto":
        choice = choose_tiles(images, config)
        tile_px = str(choice.tile_px) if choice.tile_px is not None else None
        config = config.model_copy(update={"tile_px": tile_px})
    entries, group_sizes, num_cut = images, None, 0
    if config.tile_side_px is not None:
        limits = InputLimits(config.max_pixels, config.max_bytes, config.download_timeout_s)
        given = {"auto": None, "corpus": True}.get(config.proposals, is_boxes_file(config.proposals))
        settings = TileSettings(config.tile_side_px, config.overlap_px, config.box_frame, given)
        tiled = tile_listing(images, settings, limits)
        entries, group_sizes, num_cut = tiled.entries, tiled.group_sizes, tiled.num_cut
        rejects = [*rejects, *tiled.rejects]
    num_videos, alone = 0, frozenset[int]()
    if has_videos:
        grouped = group_videos(entries, group_sizes, config.download_timeout_s)
        entries, group_sizes, alone = grouped.entries, grouped.group_sizes, frozenset(grouped.alone)
        num_videos = sum(group_sizes[number] for number in alone)
    shards = plan_shards(entries, config.shard_size, group_sizes, alone)
    return PlannedRun(config, images, shards, rejects, sources, num_cut, choice, num_videos=num_videos)


def images_text(planned: PlannedRun) -> str:
    """How many images there are, how many of them are cut, and how many are videos, for a message."""
    num_images = planned.num_images - planned.num_videos
    videos = f"{counted(planned.num_videos, 'video')} to track" if planned.num_videos else ""
    if not num_images and videos:
        return videos
    return f"{counted(num_images, 'image')}{tiles_text(planned)}{' and ' if videos else ''}{videos}"


def tiles_text(planned: PlannedRun) -> str:
    """How many images are cut, for a message; nothing if none is."""
    if not planned.num_cut:
        return ""
    cut = counted(planned.num_cut, "is", "are")
    return f", of which {cut} cut into {counted(planned.num_tiles, 'tile')} of {planned.config.tile_px} px,"


def _load_listing(config: RunConfig, progress: ListingProgress | None = None) -> Listing:
    return load_listing(
        config.corpus,
        config.limit,
        config.frame_step_s,
        progress,
        dicom_settings(config),
        config.max_bytes,
    )


def _rejects_again(config: RunConfig) -> PlannedRun:
    """The rejected inputs of `out`. What hidden addresses stand for only the corpus' listing says."""
    entries = replay_entries(config.out)
    before = read_manifest(open_store(config.out)).fingerprint_entries or {}
    if any(entry.is_hidden for entry in entries):
        origins = {entry.name: entry.origin for entry in _load_listing(config).entries}
        entries = [
            entry.hidden_as(entry.uri, entry.inner, origins.get(entry.name)) if entry.is_hidden else entry
            for entry in entries
        ]
    has_videos = any(map(is_tracked, entries))
    config = _with_tracker(config) if has_videos else config
    planned = _cut(config, EntryList(entries), [], [], has_videos=has_videos)
    return replace(planned, is_hidden=before.get("corpus_name") == NOT_KEPT, has_dicom=DECODERS in before)


def nothing_to_replay(config: RunConfig, planned: PlannedRun) -> Manifest | None:
    """The manifest of a finished dataset without rejects to replay, or None if there is work."""
    if not config.replay_rejects or planned.shards:
        return None
    return find_manifest(open_store(config.out))


def _refuse_unwritable(out: str) -> None:
    local = open_store(out).local_path()
    if local is None:
        return
    existing = next(folder for folder in (local, *local.parents) if folder.exists())
    if not existing.is_dir():
        raise ConfigError(f"--out {out}: {existing} is a file, not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"--out {out}: {existing} cannot be written to")
    usage = shutil.disk_usage(existing)
    # A file system without a size, such as /proc, says nothing of its space.
    if usage.total and usage.free < MIN_FREE_BYTES:
        raise StorageError(f"no space left at {existing}: free some, then run the same command again")
