"""Boxes of images that were found before, beside those of another source."""

from collections.abc import Mapping

from PIL import Image

from fo1_data.proposals.proposer import Proposals, Proposer
from schemas.corpus import CorpusImage


class HeldBoxes:
    """Another source of boxes, which is not asked about images whose boxes are held.

    held: by the name of an entry; it may change between two calls.
    """

    def __init__(self, others: Proposer, held: Mapping[str, Proposals]) -> None:
        self._others, self._held = others, held
        self.name, self.sha256, self.licence = others.name, others.sha256, others.licence
        self.detects = others.detects

    def attach_boxes(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """As the other source."""
        return self._others.attach_boxes(entries)

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """The boxes that are held, and the other source's of all other images."""
        asked = [place for place, entry in enumerate(entries) if entry.name not in self._held]
        found = self._others.propose([images[p] for p in asked], [entries[p] for p in asked]) if asked else []
        new = dict(zip(asked, found, strict=True))
        return [new[place] if place in new else self._held[entry.name] for place, entry in enumerate(entries)]
