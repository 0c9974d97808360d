"""What a report counts is what was said about the images, not what their corpus said before."""

from factories import make_label, make_row

from fo1_data.dataset.counting import count_row
from fo1_data.reports.statistics import Statistics
from schemas.labels import LabelKind, Source


def test_the_corpus_own_texts_count_as_no_captions() -> None:
    row = make_row(num_regions=1)
    answered = count_row(row)
    row.regions[0].labels.append(
        make_label(LabelKind.DETAILED_CAPTION, "a text of the corpus of many words", source=Source.CORPUS)
    )
    statistics = Statistics()
    statistics.add(row)

    assert list(statistics.captions) == [row.regions[0].brief_caption]
    assert LabelKind.DETAILED_CAPTION not in statistics.label_kinds
    assert count_row(row) == answered
