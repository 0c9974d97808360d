"""General questions that a run trains beside its images, so that the language model forgets less.

A file of JSON lines: `{"question": ..., "answer": ...}`, and with an `image` about that whole image, by its
path from the file's folder or its address. No chat shows regions.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fo1_data.corpus.decoding import decode_image
from fo1_data.corpus.images import InputLimits
from fo1_data.errors import ConfigError, Fo1Error, InputReject
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.reserved_tokens import without_reserved
from fo1_data.storage.addresses import join, local_path, normalise, parent
from fo1_data.storage.downloads import download
from fo1_data.storage.streams import read_whole
from fo1_data.training.packing import pack_questions
from fo1_data.training.samples.left_out import LeftOut
from fo1_data.training.samples.questions import TrainingQuestion
from fo1_data.training.samples.training_image import TrainingImage
from fo1_data.training.settings import TrainConfig
from fo1_data.training.workers import Workers
from schemas.labels import LabelKind
from schemas.problems import first_problem

_LIMITS = InputLimits()
# Apart from the draws of images, which begin with the same seed.
_STREAM = 1


class Chat(BaseModel):
    """A question and its answer. image: the address of the image that they are about; None: of none."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    image: str | None = Field(default=None, min_length=1)

    def training_question(self) -> TrainingQuestion:
        """Both texts without reserved tokens."""
        return TrainingQuestion(without_reserved(self.question), without_reserved(self.answer), LabelKind.ASK)


@dataclass(frozen=True)
class ChatFile:
    """The chats of a file, at least one. identity: its address and SHA-256, for the run's lineage."""

    chats: Sequence[Chat]
    identity: dict[str, Any]


def read_chats(address: str) -> ChatFile:
    """Read a file of chats.

    Raises ConfigError, with the number of the first line that is none or whose local image is not there.
    """
    try:
        data = read_whole(normalise(address))
        lines = data.decode("utf-8-sig").split("\n")
    except (OSError, Fo1Error, UnicodeDecodeError) as error:
        raise ConfigError(f"chats {address}: cannot be read: {error}") from None
    chats = [_chat(address, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not chats:
        raise ConfigError(f"chats {address}: holds no chat")
    return ChatFile(chats, {"address": normalise(address), "sha256": hashlib.sha256(data).hexdigest()})


def _chat(address: str, number: int, line: str) -> Chat:
    try:
        chat = Chat.model_validate_json(line)
    except ValidationError as error:
        raise ConfigError(
            f"chats {address}: line {number}: {first_problem(error)}; "
            'a chat is {"question": ..., "answer": ...}, and "image" if it is about one'
        ) from None
    shown = chat.training_question()
    for name, text in (("question", shown.text), ("answer", shown.answer)):
        if not text:
            raise ConfigError(f"chats {address}: line {number}: the {name} holds reserved tokens only")
    if chat.image is None:
        return chat
    image = normalise(join(parent(normalise(address)), chat.image))
    path = local_path(image)
    if path is not None and not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises for long names
        raise ConfigError(f"chats {address}: line {number}: the image {chat.image} is not there")
    return chat.model_copy(update={"image": image})


class ChatDraws:
    """The chats of each step; they depend only on the seed and the step. `workers`: that share a step.

    `left_out`: takes the images that cannot be read.
    """

    def __init__(
        self,
        chats: Sequence[Chat],
        checkpoint: Checkpoint,
        config: TrainConfig,
        workers: Workers | None = None,
        left_out: LeftOut | None = None,
    ) -> None:
        self._chats, self._checkpoint, self._config = chats, checkpoint, config
        self._workers, self._left_out = workers, left_out or LeftOut()
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def of_step(self, step: int) -> list[TrainingImage]:
        """This worker's chats of a step; one whose image can be read no more is left out."""
        first = step * self._config.chats_per_step
        places = range(first, first + self._config.chats_per_step)
        own = self._workers.share_of(places) if self._workers is not None else places
        shown = (self._shown(self._chats[self._number_at(place)]) for place in own)
        return [image for image in shown if image is not None]

    def _number_at(self, place: int) -> int:
        """The chat at a place of the endless series of epochs, each in an order of its own."""
        epoch, rest = divmod(place, len(self._chats))
        if epoch != self._epoch:
            rng = np.random.default_rng([self._config.seed, epoch, _STREAM])
            self._epoch, self._order = epoch, rng.permutation(len(self._chats))
        return int(self._order[rest])

    def _shown(self, chat: Chat) -> TrainingImage | None:
        prepared, image_id = None, None
        if chat.image is not None:
            try:
                data = download(chat.image, max_bytes=_LIMITS.max_bytes, timeout_s=_LIMITS.download_timeout_s)
                image = decode_image(data, _LIMITS)
            except InputReject as error:
                self._left_out.meet_unusable(chat.image, error.reason)
                return None
            boxes_R4 = np.zeros((0, 4), dtype=np.float32)
            prepared, image_id = self._checkpoint.processor.prepare(image.rgb, boxes_R4), image.image_id
        question = chat.training_question()
        packed = pack_questions(self._checkpoint.tokenizer, [question])
        return TrainingImage(prepared, packed, [question], image_id)
