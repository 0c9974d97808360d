"""Images whose bytes and boxes are known before they are labelled: the keyframes of a video."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from fo1_data.proposals.proposer import Proposals
from schemas.corpus import CorpusImage


@dataclass(frozen=True)
class HeldImage:
    """An image: its entry, which names it, its encoded bytes, and its boxes."""

    entry: CorpusImage
    encoded: bytes
    proposals: Proposals


@dataclass
class HeldImages:
    """The images that are held now, by the names of their entries. Empty most of the time."""

    encoded: dict[str, bytes] = field(default_factory=dict)
    proposals: dict[str, Proposals] = field(default_factory=dict)

    @contextmanager
    def holding(self, images: Sequence[HeldImage]) -> Iterator[None]:
        """Hold these images during a block."""
        self.encoded.update((image.entry.name, image.encoded) for image in images)
        self.proposals.update((image.entry.name, image.proposals) for image in images)
        try:
            yield
        finally:
            self.encoded.clear()
            self.proposals.clear()
