"""Figures of confidences against gold that is too small or one-sided."""

from made_up_labels import made_row

from fo1_data.evaluation.confidences import score_confidences
from fo1_data.judging.matching import Pair, make_pair
from schemas.corpus import CorpusImage, CorpusRegion


def pairs_whose_last_are_wrong(count: int) -> list[Pair]:
    """The captions of the first half of the images, by id, are right, those of the second half wrong."""
    rows = sorted((made_row(number) for number in range(count)), key=lambda row: row.image_id)
    pairs = []
    for place, row in enumerate(rows):
        captions = [region.brief_caption if place < count / 2 else "another" for region in row.regions]
        regions = [
            CorpusRegion(box_xyxy=region.box_xyxy, caption=text, label="thing")
            for region, text in zip(row.regions, captions, strict=True)
        ]
        pairs.append(make_pair(row, CorpusImage(uri=row.uri, width=100, height=20, regions=regions)))
    return pairs


def test_the_figures_report_labels_that_are_all_right_or_all_wrong() -> None:
    figures = score_confidences(pairs_whose_last_are_wrong(30), "exact", most_fitted=40)
    kinds = figures["kinds"]
    assert isinstance(kinds, dict)
    captions = kinds["brief_caption"]
    assert (captions["num"], captions["error"]) == (120, 0.5)
    assert "too few right or wrong" in captions["note"]
    assert "signals" not in captions
