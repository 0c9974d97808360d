"""Labels shards: the work of one labelling process, on a cluster or alone. Knows no Ray.

A shard is normally labelled whole and written at once, with its marker. If that killed its process, its
pieces are labelled separately: the rows of each go to a file of its own among the run's tries, and
`assemble_shard` writes the shard from these files. A shard with tiles is labelled in steps, which are stored
(`tile_steps`), and may be labelled in pieces from the start; so is a video, whose steps are its shots
(`video_steps`). Pixels enter and leave through storage only.
"""

import importlib
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fo1_data.corpus.tracked_videos import is_tracked
from fo1_data.corpus.unreached import refuse_unreached
from fo1_data.dataset.gather import gather_group
from fo1_data.dataset.layout import tile_steps, tries, video_steps
from fo1_data.dataset.rows import table_to_rows
from fo1_data.dataset.shard_files import WriteOptions, write_shard, write_shard_batches
from fo1_data.dataset.shard_groups import ShardGroup
from fo1_data.dataset.tile_shards import unite_shard
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.work_done import VideoTracker, WorkDone, WorkTracker
from fo1_data.runs.halving import LabelsImages, label_or_halve
from fo1_data.runs.piece_file import read_piece, write_piece
from fo1_data.runs.resource_limits import limit_resources
from fo1_data.runs.step_file import SUFFIX
from fo1_data.runs.tile_steps import has_tiles, stored_steps
from fo1_data.runs.video_steps import VideoSteps
from fo1_data.runs.video_work import LabelledVideo, label_video
from fo1_data.runs.work_log import log_rejects, logged
from fo1_data.storage.downloads import wait_for_stores
from fo1_data.storage.store import open_store
from schemas.corpus import CorpusImage, Shard
from schemas.images import ImageRow, Provenance, Reject
from schemas.jobs import RunConfig
from schemas.shards import GroupReport, ShardReport
from schemas.tracks import Track

if TYPE_CHECKING:
    from fo1_data.confidence.routing import Router

# Longer than Ray takes to notice that a host is cut off: its images are no rejects, another labels them.
STORE_PATIENCE_S = 120.0
IMAGE_LABELLER = "fo1_data.labelling.image_labeller:ImageLabeller"


@dataclass(frozen=True)
class LabellerSettings:
    """Everything that a labelling process needs to know.

    factory: "module:class" that makes the image labeller from the settings. copy_models: copy model and
    detector into the node's cache first. kill_on: a hook for tests (FO1_TEST_KILL_ON of a driver on Ray);
    an image whose address contains it kills the process. witnesses: see `fo1_data.corpus.unreached`.
    """

    config: RunConfig
    factory: str = IMAGE_LABELLER
    copy_models: bool = False
    kill_on: str | None = None
    witnesses: tuple[str, ...] = ()


class ShardLabeller:
    """One labelling process. It loads the model at the first use and keeps it.

    on_change: called as the work inside a shard goes on.
    """

    def __init__(self, settings: LabellerSettings, on_change: Callable[[], None] = lambda: None) -> None:
        self._settings, self._on_change = settings, on_change
        self._try_id, self._tracker = "", WorkTracker()
        self._images: LabelsImages | None = None
        self._announced: deque[Shard] = deque(maxlen=2)
        self._router: Router | None = None

    def load(self) -> LabellerIdentity:
        """Load the model and the proposer and return their identity. Raises CheckpointError, ConfigError."""
        return self._image_labeller().identity

    def work_done(self) -> tuple[str, WorkDone]:
        """The id of the try that is worked on, or was last, and what is done of it. Any thread may ask."""
        return self._try_id, self._tracker.copy()

    def read_ahead(self, shard: Shard) -> None:
        """Begin to read a shard that is labelled soon, while another is labelled. Any thread may call it.

        It leaves nothing behind if it is never labelled.
        """
        if self._images is not None and not has_tiles(shard) and not is_video_shard(shard):
            self._announced.append(shard)
            self._images.read_ahead(shard.images)

    def label_shard(self, shard: Shard, try_id: str, options: WriteOptions) -> ShardReport:
        """Label every image of the shard and write it. Raises StorageError."""
        with logged("label_shard", options.run, shard.shard_id, try_id):
            return self._label_whole(shard, try_id, options)

    def _label_whole(self, shard: Shard, try_id: str, options: WriteOptions) -> ShardReport:
        started_s = time.perf_counter()
        if has_tiles(shard):
            self._label_steps(shard, shard.images, 0, try_id, options)
            return self._write_steps(shard, [(0, len(shard.images))], [], try_id, options, started_s)
        if is_video_shard(shard):
            return self._label_video(shard, try_id, options, started_s)
        announced = (other for other in list(self._announced) if other.shard_id == shard.shard_id)
        shard = next(announced, shard)  # the very list that is being read
        rows, rejects = self._label(shard.images, try_id)
        seconds = time.perf_counter() - started_s
        return write_shard(self._settings.config.out, shard, rows, rejects, try_id, options, seconds)

    def label_piece(self, shard: Shard, start: int, stop: int, try_id: str, options: WriteOptions) -> str:
        """Label the images `start` to `stop` of the shard; returns the path of their rows in the store.

        shard: with these images alone. The rows of tiles are in steps: `START-STOP` is returned for them.
        """
        with logged("label_piece", options.run, shard.shard_id, try_id):
            return self._label_part(shard, start, stop, try_id, options)

    def _label_part(self, shard: Shard, start: int, stop: int, try_id: str, options: WriteOptions) -> str:
        if has_tiles(shard):
            self._label_steps(shard, shard.images, start, try_id, options)
            return f"{start}-{stop}"
        if is_video_shard(shard):
            self._label_shots(shard, try_id, options)
            return f"{start}-{stop}"
        rows, rejects = self._label(shard.images, try_id)
        path = f"{tries(options.run)}/pieces/{shard.shard_id}/{start}-{stop}-{try_id}{SUFFIX}"
        write_piece(open_store(self._settings.config.out), path, rows, rejects)
        return path

    def assemble_shard(
        self, shard: Shard, pieces: Sequence[str | Reject], try_id: str, options: WriteOptions
    ) -> ShardReport:
        """Write the shard from its pieces, in the order of its images. Raises StorageError."""
        with logged("assemble_shard", options.run, shard.shard_id, try_id):
            return self._assemble(shard, pieces, try_id, options)

    def _assemble(
        self, shard: Shard, pieces: Sequence[str | Reject], try_id: str, options: WriteOptions
    ) -> ShardReport:
        started_s = time.perf_counter()
        store = open_store(self._settings.config.out)
        if has_tiles(shard):
            spans = [tuple(map(int, piece.split("-"))) for piece in pieces if isinstance(piece, str)]
            lost = [piece for piece in pieces if isinstance(piece, Reject)]
            return self._write_steps(shard, spans, lost, try_id, options, started_s)
        if is_video_shard(shard) and not any(isinstance(piece, Reject) for piece in pieces):
            return self._label_video(shard, try_id, options, started_s)
        rows: list[ImageRow] = []
        rejects: list[Reject] = []
        for piece in pieces:
            if isinstance(piece, Reject):
                rejects.append(piece)
            else:
                table, piece_rejects = read_piece(store, piece)
                rows += table_to_rows(table)
                rejects += piece_rejects
        seconds = time.perf_counter() - started_s
        return write_shard(store.url, shard, rows, rejects, try_id, options, seconds)

    def gather_shards(self, group: ShardGroup, try_id: str, options: WriteOptions) -> GroupReport:
        """Gather the files of a group of done shards. Raises StorageError."""
        return gather_group(open_store(self._settings.config.out), options.run, group, try_id)

    def _label_steps(
        self, shard: Shard, entries: list[CorpusImage], offset: int, try_id: str, options: WriteOptions
    ) -> None:
        """Label those steps of the entries that are not stored yet. offset: the place of the first entry."""
        self._tracker, self._try_id = WorkTracker(on_change=self._on_change), try_id
        store = open_store(self._settings.config.out)
        steps = stored_steps(store, options.run, shard.shard_id, entries, offset)
        waiting = [
            (step, entries[step.start - offset : step.stop - offset]) for step in steps if not step.is_done
        ]
        for (step, chosen), following in zip(waiting, [*waiting[1:], None], strict=True):
            if following is not None:
                self._image_labeller().read_ahead(following[1])
            step.write(*self._label_tracked(chosen))

    def _write_steps(
        self,
        shard: Shard,
        spans: Sequence[tuple[int, ...]],
        rejects: Sequence[Reject],
        try_id: str,
        options: WriteOptions,
        started_s: float,
    ) -> ShardReport:
        """Write a shard from the stored steps of its pieces `spans`."""
        store = open_store(self._settings.config.out)
        tables, all_rejects = [], list(rejects)
        for start, stop in spans:
            for step in stored_steps(store, options.run, shard.shard_id, shard.images[start:stop], start):
                rows, step_rejects = step.read()
                tables.append(rows)
                all_rejects += step_rejects
        united = unite_shard(shard.images, tables, all_rejects)
        seconds = time.perf_counter() - started_s
        report = write_shard_batches(
            store.url, shard, united.batches, united.rejects, try_id, options, seconds
        )
        store.delete_folder(tile_steps(options.run, shard.shard_id))
        return report

    def _label_shots(self, shard: Shard, try_id: str, options: WriteOptions) -> LabelledVideo:
        """Label the shots of a video that are not stored yet."""
        self._tracker, self._try_id = VideoTracker(on_change=self._on_change), try_id
        self._kill_for_test(shard.images)
        steps = VideoSteps(open_store(self._settings.config.out), options.run, shard.shard_id)
        images = self._image_labeller()
        whole = label_video(shard, images, self._settings.config, steps, self, self._tracker)
        self._refuse_unreached(whole.rejects)
        return whole

    def _label_video(self, shard: Shard, try_id: str, options: WriteOptions, started_s: float) -> ShardReport:
        store = open_store(self._settings.config.out)
        whole = self._label_shots(shard, try_id, options)
        seconds = time.perf_counter() - started_s
        report = write_shard(
            store.url, shard, whole.rows, whole.rejects, try_id, options, seconds, whole.tracks, whole.videos
        )
        store.delete_folder(video_steps(options.run, shard.shard_id))
        return report

    def _label(self, entries: list[CorpusImage], try_id: str) -> tuple[list[ImageRow], list[Reject]]:
        self._tracker, self._try_id = WorkTracker(on_change=self._on_change), try_id
        return self._label_tracked(entries)

    def _label_tracked(self, entries: list[CorpusImage]) -> tuple[list[ImageRow], list[Reject]]:
        self._kill_for_test(entries)
        rows, rejects = label_or_halve(self._image_labeller(), entries, self._tracker)
        self._refuse_unreached(rejects)
        log_rejects(rejects)
        self.route_rows(rows)
        return rows, rejects

    def _refuse_unreached(self, rejects: Sequence[Reject]) -> None:
        refuse_unreached(rejects, self._settings.witnesses, self._settings.config.download_timeout_s)

    def route_rows(self, rows: list[ImageRow]) -> None:
        """Give labels their confidences, and the decisions that need no other row."""
        from fo1_data.runs.routing import route_in_shard

        if (router := self._find_router()) is not None:
            route_in_shard(router, rows)

    def route_tracks(self, tracks: list[Track], provenance: Provenance) -> list[Track]:
        """The tracks of a video with their confidences and decisions. provenance: of the video."""
        from fo1_data.confidence.route_tracks import route_tracks

        router = self._find_router()
        if router is None or not tracks:
            return tracks
        return route_tracks(router, tracks, {tracks[0].video_id: provenance})

    def _find_router(self) -> "Router | None":
        """The router of the run; None if it gives neither confidences nor decisions."""
        from fo1_data.runs.routing import make_router, routes

        if self._router is None and routes(self._settings.config):
            self._router, _ = make_router(self._settings.config, self._image_labeller().identity)
        return self._router

    def _image_labeller(self) -> LabelsImages:
        if self._images is None:
            limit_resources(self._settings.config.cpus_per_actor)
            wait_for_stores(STORE_PATIENCE_S)
            module, _, name = self._settings.factory.partition(":")
            factory = getattr(importlib.import_module(module), name)
            self._images = factory(self._local_config())
        return self._images

    def _local_config(self) -> RunConfig:
        from fo1_data.model.node_cache import local_model
        from fo1_data.opinions.load import is_server

        config, copy = self._settings.config, self._settings.copy_models
        names = {key: getattr(config, key) for key in ("model", "proposals", "masks", "second_opinion")}
        local = {
            key: local_model(name, copy)
            for key, name in names.items()
            if name is not None and not is_server(name)
        }
        return config.model_copy(update=local)

    def _kill_for_test(self, entries: Sequence[CorpusImage]) -> None:
        word = self._settings.kill_on
        if word and any(word in entry.name for entry in entries):
            os.kill(os.getpid(), signal.SIGKILL)


def is_video_shard(shard: Shard) -> bool:
    """Whether the shard is a video that is tracked."""
    return is_tracked(shard.images[0])
