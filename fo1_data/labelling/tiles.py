"""A tile among the images that are labelled: what is asked of it, and its row in the frame of its image.

The model sees a tile as an image of its own. What is about the image as a whole, its caption and the user's
own question, is asked of the whole image only, which is shrunk; what points at regions is asked wherever
there are regions. The row of a tile has the id and the size of its image, with boxes in pixels of the image.
`fo1_data.dataset.united_tiles` makes one row of the rows of an image's tiles.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fo1_data.boxes import as_boxes, clip_boxes
from fo1_data.corpus.images import DecodedImage
from fo1_data.corpus.tile_names import TileName
from fo1_data.corpus.tile_reading import Tile
from fo1_data.dataset.united_tiles import TILE_STATE
from fo1_data.labelling.questions import asks_of_regions
from fo1_data.masks import place_mask
from fo1_data.proposals.proposer import Proposals
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Count, EncodedImage, Grounding, ImageRow
from schemas.labels import LabelKind, Source
from schemas.regions import MaskRle, make_region_id, number_equal_ids


@dataclass(frozen=True)
class TileToLabel:
    """A tile with its name, and the regions that its source gives, in pixels of the image."""

    name: TileName
    tile: Tile
    regions: Sequence[CorpusRegion] | None

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole image, shrunk."""
        return self.tile.is_whole

    def entry_to_tile(self, entry: CorpusImage, image: DecodedImage) -> CorpusImage:
        """The entry with boxes in pixels of the tile; for the whole image, how values became colours."""
        update: dict[str, object] = {"width": image.width, "height": image.height}
        if self.regions:
            boxes = self.tile.boxes_from_image(as_boxes([region.box_xyxy for region in self.regions]))
            update["regions"] = [
                region.model_copy(update={"box_xyxy": tuple(box)})
                for region, box in zip(
                    self.regions, clip_boxes(boxes, (image.width, image.height)).tolist(), strict=True
                )
            ]
        if self.is_whole and image.meta:
            update["meta"] = {**(entry.meta or {}), **image.meta}
        return entry.model_copy(update=update)

    def own(self, proposals: Proposals) -> Proposals:
        """The proposals that stay in the tile. Boxes that were given all do."""
        if proposals.regions is not None:
            return proposals
        return proposals.take(np.flatnonzero(self.tile.stays(proposals.boxes_xyxy)))

    def kinds(self, kinds: Sequence[LabelKind], question: str | None, num_regions: int) -> list[LabelKind]:
        """Which kinds of labels are asked of the tile, which has so many regions."""
        if self.is_whole:
            return list(kinds)
        if num_regions == 0:
            return []
        of_image = {LabelKind.GROUNDED_CAPTION}
        if not asks_of_regions(question or ""):
            of_image.add(LabelKind.ASK)
        return [kind for kind in kinds if kind not in of_image]

    def row_to_image(self, row: ImageRow) -> ImageRow:
        """The row with the image's size, and boxes in its pixels; regions have the ids of these boxes."""
        is_given = bool(row.regions) and all(region.box_source is Source.CORPUS for region in row.regions)
        if self.regions and is_given:
            boxes = as_boxes([region.box_xyxy for region in self.regions])
        else:
            boxes = self.tile.boxes_to_image(as_boxes([region.box_xyxy for region in row.regions]))
        image_wh = self.tile.grid.image_wh
        boxes = clip_boxes(boxes, image_wh)
        new_ids = number_equal_ids(make_region_id(row.image_id, box) for box in boxes.tolist())
        id_of = {region.region_id: new for region, new in zip(row.regions, new_ids, strict=True)}
        for region, box in zip(row.regions, boxes.tolist(), strict=True):
            region.region_id, region.box_xyxy = id_of[region.region_id], tuple(box)
            if region.mask_rle is not None:
                region.mask_rle = place_mask(region.mask_rle, self._window_xyxy(region.mask_rle), image_wh)
        parts: list[Grounding | Count] = [*row.groundings, *row.counts]
        for part in parts:
            part.region_ids = [id_of[region_id] for region_id in part.region_ids]
            if part.label.kind is LabelKind.VISUAL_EXAMPLE:
                part.phrase = part.label.text = id_of[part.phrase]
        for answer in row.answers:
            answer.region_id = id_of[answer.region_id] if answer.region_id is not None else None
        row.width, row.height = image_wh
        return row

    def _window_xyxy(self, mask: MaskRle) -> tuple[int, int, int, int]:
        """Where in the image a mask of the tile lies."""
        height, width = mask.size
        corners = self.tile.boxes_to_image(as_boxes([(0, 0, width, height)])).round().astype(int)
        x_min, y_min, x_max, y_max = corners[0].tolist()
        return x_min, y_min, x_max, y_max


def tile_row(entry: CorpusImage, image_id: str, state: str) -> ImageRow:
    """The row of a tile that nothing is asked of. state: `EMPTY`: it shows nothing; `CARRIED`: the row of its
    image comes from the parent dataset."""
    name = entry.name
    return ImageRow(
        image_id=image_id,
        uri=name,
        uris=[name],
        corpus="",
        split="",
        meta=json.dumps({TILE_STATE: state}),
        image=EncodedImage(path=name),
        width=1,
        height=1,
    )
