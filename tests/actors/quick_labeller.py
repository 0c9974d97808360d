"""A labeller for tests of everything around it: deterministic, quick to load, as slow as it is told.

Reads and decodes for real; instead of a model, the bytes decide what is said of an image. The file
name of an image may ask for trouble: `raises` in it raises, whatever it is labelled with.
"""

import hashlib
import io
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from PIL import Image

import fo1_data
from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.rejects import reject_of
from fo1_data.errors import CheckpointError, InputReject
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.work_done import WorkTracker
from schemas.corpus import CorpusImage
from schemas.images import EncodedImage, ImageRow, Provenance, Reject, RejectStage
from schemas.jobs import RunConfig
from schemas.labels import Decision, Label, LabelKind, Signal, Source
from schemas.regions import Region, make_region_id

FACTORY = "quick_labeller:QuickLabeller"


class TwoPartError(Exception):
    """Cannot be unpickled: its constructor takes other arguments than it passes on."""

    def __init__(self, part: str, shape: str) -> None:
        super().__init__(f"{part} has the shape {shape}")


class QuickLabeller:
    """Labels each image with one region and a caption drawn from its bytes."""

    def __init__(self, config: RunConfig) -> None:
        if config.model == "nowhere":
            raise CheckpointError(f"no such model: {config.model}")
        if config.model == "misshapen":
            raise TwoPartError("layer 3", "7 x 7")
        self._config = config
        # Work takes time, else nothing can be killed in the middle of it.
        self._image_s = float(os.environ.get("QUICK_IMAGE_S", "0"))

    @property
    def identity(self) -> LabellerIdentity:
        return LabellerIdentity(
            model_name="quick",
            model_sha256=Path(self._config.model).name,
            model_licence=None,
            proposer_name="none",
            proposer_sha256="0",
            proposer_licence=None,
            prompts_version="1",
            dtype="float32",
        )

    def label_entries(
        self, entries: list[CorpusImage], tracker: WorkTracker
    ) -> tuple[list[ImageRow], list[Reject]]:
        rows, rejects = [], []
        for entry in entries:
            try:
                rows.append(self._label(entry))
            except InputReject as reject:
                rejects.append(reject_of(entry, reject.stage, reject.reason, reject.message))
            tracker.image_read()
            tracker.labelled(1)
        return rows, rejects

    def read_ahead(self, entries: list[CorpusImage]) -> None:
        """Meets the poison ahead: an image named `dies-ahead` kills the process when it is only read."""
        if any("dies-ahead" in entry.uri for entry in entries):
            os.kill(os.getpid(), signal.SIGKILL)

    def _label(self, entry: CorpusImage) -> ImageRow:
        if "raises" in entry.uri:
            raise RuntimeError("this image cannot be labelled")
        data = read_bytes(entry, InputLimits(10**8, 10**8, 10.0))
        threading.Event().wait(self._image_s)  # libfaketime has no time.sleep beside a true monotonic clock
        _wait_at_barrier(Path(entry.uri).name)
        try:
            width, height = Image.open(io.BytesIO(data)).size
        except OSError as error:
            raise InputReject(RejectStage.DECODE, "unreadable", str(error)) from error
        return quick_row(entry.name, data, width, height)


def _wait_at_barrier(name: str) -> None:
    """Hold images from the number on that the file QUICK_BARRIER names, as long as it is there.

    So a test stops or kills a run in the middle of its work, however fast or slow the machine is. Workers
    of a cluster have the environment of the cluster, not of the driver: hence a file.
    """
    barrier = os.environ.get("QUICK_BARRIER")
    with suppress(FileNotFoundError):
        while barrier and int(name[:3]) >= int(Path(barrier).read_text()):
            time.sleep(0.02)


def quick_row(uri: str, data: bytes, width: int, height: int) -> ImageRow:
    """The row of an image whose bytes are `data`."""
    image_id = hashlib.sha256(data).hexdigest()
    box = (0.0, 0.0, float(width), float(height) / 2)
    label = Label(
        kind=LabelKind.BRIEF_CAPTION,
        text=f"image {image_id[:6]}",
        signals=[Signal(name="log_probability", value=-0.5)],
        decision=Decision.REVIEW if int(image_id[0], 16) < 4 else Decision.ACCEPT,
    )
    region = Region(
        region_id=make_region_id(image_id, box),
        index=0,
        box_xyxy=box,
        box_source=Source.MODEL,
        brief_caption=label.text,
        decision=label.decision,
        labels=[label],
    )
    return ImageRow(
        image_id=image_id,
        uri=uri,
        uris=[uri],
        corpus="quick",
        split="train",
        image=EncodedImage(path=uri),
        width=width,
        height=height,
        regions=[region],
        decision=label.decision,
        # Where the code of the process that labelled came from.
        provenance=Provenance(model="quick", job_id=fo1_data.__file__, labelled_at=str(time.time())),
    )
