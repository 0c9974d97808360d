"""The quick labeller of the tests of runs, with the boxes of the corpus as regions."""

from quick_labeller import QuickLabeller

from schemas.corpus import CorpusImage
from schemas.images import ImageRow
from schemas.labels import Label, LabelKind, Source
from schemas.regions import Region, make_region_id

FACTORY = "box_labeller:BoxLabeller"


class BoxLabeller(QuickLabeller):
    """Says of each image what its bytes say, and of each box what the corpus says."""

    def _label(self, entry: CorpusImage) -> ImageRow:
        row = super()._label(entry)
        for index, given in enumerate(entry.regions or (), start=len(row.regions)):
            label = Label(kind=LabelKind.BRIEF_CAPTION, text=str(given.caption), decision=row.decision)
            row.regions.append(
                Region(
                    region_id=make_region_id(row.image_id, given.box_xyxy),
                    index=index,
                    box_xyxy=given.box_xyxy,
                    box_source=Source.CORPUS,
                    source_label=given.label,
                    source_caption=given.caption,
                    brief_caption=given.caption,
                    decision=label.decision,
                    labels=[label],
                )
            )
        return row
