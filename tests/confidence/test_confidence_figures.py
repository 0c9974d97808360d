"""Figures of confidences against gold, where gold is awkward."""

from made_up_labels import made_row

from fo1_data.evaluation.confidences import score_confidences
from fo1_data.judging.matching import Pair, make_pair
from schemas.corpus import CorpusImage, CorpusRegion


def pairs_whose_last_are_wrong(count: int) -> list[Pair]:
    """Captions of the first half of the images, by id, are right, those of the others wrong."""
    rows = sorted((made_row(number) for number in range(count)), key=lambda row: row.image_id)
    pairs = []
    for place, row in enumerate(rows):
        said = [region.brief_caption if place < count / 2 else "another" for region in row.regions]
        regions = [
            CorpusRegion(box_xyxy=region.box_xyxy, caption=text, label="thing")
            for region, text in zip(row.regions, said, strict=True)
        ]
        pairs.append(make_pair(row, CorpusImage(uri=row.uri, width=100, height=20, regions=regions)))
    return pairs


def test_where_the_labels_compared_are_of_one_side_the_figures_say_so() -> None:
    figures = score_confidences(pairs_whose_last_are_wrong(30), "exact", most_fitted=40)
    kinds = figures["kinds"]
    assert isinstance(kinds, dict)
    told = kinds["brief_caption"]
    assert (told["num"], told["error"]) == (120, 0.5)
    assert "too few right or wrong" in told["note"]
    assert "signals" not in told
