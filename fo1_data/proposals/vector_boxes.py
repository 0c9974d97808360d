"""Boxes from a vector file of a map (GeoParquet, GeoJSON, GeoPackage), by the coordinates of the images.

A feature that names an image is a box of that image, wherever it lies. Where the features name none, each is
a box of every image that it lies on, clipped to it. `vector_files` says what is taken of a feature.
"""

import hashlib
from collections import Counter

from PIL import Image

from fo1_data.corpus.account import MOST_REASONS
from fo1_data.corpus.map_frames import MapFrame
from fo1_data.corpus.places import listing_reject
from fo1_data.corpus.raster_frames import frames_of
from fo1_data.corpus.vector_files import read_features
from fo1_data.plurals import counted
from fo1_data.proposals.corpus_boxes import boxes_of_entry, with_other_boxes
from fo1_data.proposals.pairing import pair_names
from fo1_data.proposals.proposer import Proposals
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Reject
from schemas.sources import ContentKind, SourceCounts


class VectorBoxes:
    """`--proposals FILE` of a map. Raises ConfigError if the file cannot be read."""

    licence: str | None = None
    detects = False

    def __init__(self, address: str, data: bytes) -> None:
        self.name = address
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._features = read_features(data, address)

    @property
    def names_images(self) -> bool:
        """Whether features name the images that they are of."""
        return bool(self._features.by_image)

    def attach_boxes(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """The entries with the boxes of the file in place of their own."""
        return self.pair_with(entries)[0]

    def pair_with(
        self, entries: list[CorpusImage], *, is_whole: bool = True
    ) -> tuple[list[CorpusImage], list[Reject], SourceCounts]:
        """The entries with the boxes of the file, the features that belong to none, and the account.

        is_whole: whether `entries` are all images of the corpus, so that a feature on none is a reject.
        """
        frames = frames_of(entries)
        if self.names_images:
            regions, reasons = self._by_name(entries, frames)
        else:
            regions, reasons = self._by_place(frames)
        found, lost = len(self._features.properties), sum(reasons.values())
        texts = [f"{counted(count, 'feature')}: {reason}" for reason, count in reasons.items() if count]
        rejects = [listing_reject(self.name, "not_listed", text) for text in texts] if is_whole else []
        account = SourceCounts(
            source=self.name,
            found={ContentKind.BOXES: found},
            attached={ContentKind.BOXES: found - lost},
            rejected={ContentKind.BOXES: lost} if lost else {},
            rejects=len(rejects),
            reasons=[reject.message for reject in rejects[:MOST_REASONS]],
            notes=[] if is_whole else texts,
        )
        placed = [
            _with_regions(entry, listed, frame)
            for entry, listed, frame in zip(entries, regions, frames, strict=True)
        ]
        return placed, rejects, account

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """The boxes that `attach_boxes` put into the entries."""
        return [boxes_of_entry(entry) for entry in entries]

    def _by_name(
        self, entries: list[CorpusImage], frames: list[MapFrame | None]
    ) -> tuple[list[list[CorpusRegion]], dict[str, int]]:
        by_image = self._features.by_image
        pairing = pair_names(by_image, entries)
        regions: list[list[CorpusRegion]] = [[] for _ in entries]
        lost: Counter[str] = Counter()
        lost["names no image"] = len(self._features.properties) - sum(map(len, by_image.values()))
        for name, indices in by_image.items():
            number = pairing.images.get(name)
            frame = frames[number] if number is not None else None
            if frame is not None and number is not None:
                regions[number] += self._features.regions(indices, frame)
            elif number is not None:
                lost[f"{name} has no coordinates, so no pixel is known"] += len(indices)
            else:
                why = "several images" if name in pairing.ambiguous else "no image that is listed"
                lost[f"{name} fits {why}"] += len(indices)
        return regions, lost

    def _by_place(self, frames: list[MapFrame | None]) -> tuple[list[list[CorpusRegion]], dict[str, int]]:
        regions: list[list[CorpusRegion]] = []
        used: set[int] = set()
        for frame in frames:
            within, indices = self._features.regions_within(frame) if frame is not None else ([], [])
            regions.append(within)
            used.update(indices)
        return regions, {"lies on no image with coordinates": len(self._features.properties) - len(used)}


def _with_regions(entry: CorpusImage, regions: list[CorpusRegion], frame: MapFrame | None) -> CorpusImage:
    size = {} if frame is None else {"width": frame.image_wh[0], "height": frame.image_wh[1]}
    return with_other_boxes(entry, regions, **size)
