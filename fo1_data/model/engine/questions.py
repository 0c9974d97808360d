"""The engine's input: open images, and questions about them."""

from dataclasses import dataclass, field

import numpy as np

from fo1_data.model.prompts import MAX_REGIONS
from fo1_data.model.region_fusion import PromptEmbeds


@dataclass(frozen=True)
class OpenImage:
    """An open image of the session, or a text-only session.

    Boxes are divided into chunks of at most 100, and each chunk has its own prompt. An image without boxes
    and a text-only session have one chunk without boxes.

    number: identifies the image in the engine.
    chunk_starts: for each chunk, the index in the image of its first box.
    prompts: the prefix of each chunk.
    prefix_numbers: for each chunk, the number that identifies its prefix in the engine.
    region_features: (R, 8) float32, the appearance of each region (see `compact_features`).
    """

    number: int
    num_regions: int
    chunk_starts: tuple[int, ...]
    prompts: tuple[PromptEmbeds, ...] = field(repr=False)
    prefix_numbers: tuple[int, ...]
    region_features: np.ndarray = field(repr=False)

    def regions_in(self, chunk: int) -> int:
        """The number of boxes in a chunk's prompt."""
        ends = (*self.chunk_starts[1:], self.num_regions)
        return ends[chunk] - self.chunk_starts[chunk]

    def locate(self, region: int) -> tuple[int, int]:
        """From a box's index in the image: its chunk, and its index in the chunk's prompt."""
        chunk = region // MAX_REGIONS
        return chunk, region - self.chunk_starts[chunk]


@dataclass(frozen=True)
class Question:
    """A question about a chunk of an open image.

    text: the question. K of `<regionK>` is the index in the chunk.
    max_new_tokens: the limit on the answer's length, forced tokens included.
    forced_ids: token ids with which the answer starts. They are scored, and greedy decoding continues
        after them. If their number is `max_new_tokens`, the answer is only scored.
    hidden_regions: indices in the chunk of regions that are hidden from the question: it does not attend to
        their features. This is an approximation, because later positions of the prefix have attended to
        them.
    watched_ids: token ids whose log-probabilities are recorded at the first chosen token.
    stop_id: a token that ends the answer, in addition to the end of turn.
    """

    image: OpenImage
    text: str
    chunk: int = 0
    max_new_tokens: int = 256
    forced_ids: tuple[int, ...] = ()
    hidden_regions: tuple[int, ...] = ()
    watched_ids: tuple[int, ...] = ()
    stop_id: int | None = None
