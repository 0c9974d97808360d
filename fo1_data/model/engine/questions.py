"""What the engine is asked: open images, and questions about them."""

from dataclasses import dataclass, field

import numpy as np

from fo1_data.model.prompts import MAX_REGIONS
from fo1_data.model.region_fusion import PromptEmbeds


@dataclass(frozen=True)
class OpenImage:
    """An image of the session. Its boxes lie in chunks of at most 100; each chunk has its own prompt.

    chunk_starts[c] is the index in the image of the first box of chunk c. A text-only session has one
    chunk without boxes. prefix_numbers[c] identifies the prefix of prompts[c] in the engine.
    region_features: (R, 8) float32, the appearance of each region in a few numbers.
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
        """The chunk of a box and its index in the chunk's prompt, from its index in the image."""
        chunk = region // MAX_REGIONS
        return chunk, region - self.chunk_starts[chunk]


@dataclass(frozen=True)
class Question:
    """A question about one chunk of an open image. `<regionK>` in `text` counts within the chunk.

    max_new_tokens: the longest answer, forced tokens included.
    forced_ids: token ids that the answer starts with. They are scored, and greedy decoding continues
        after them. If they are `max_new_tokens` long, the answer is only scored.
    hidden_regions: indices in the chunk of regions whose features the question must not see: their keys
        are left out of its attention. Later positions of the prefix have already attended to them, so
        this is an approximation.
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
