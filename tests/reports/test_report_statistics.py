"""A report counts the labels of the model and of people, not the texts of the corpus."""

from factories import make_label, make_row

from fo1_data.dataset.counting import count_row
from fo1_data.reports.statistics import Statistics
from schemas.labels import LabelKind, Source


def test_texts_of_the_corpus_do_not_count_as_captions() -> None:
    row = make_row(num_regions=1)
    counts = count_row(row)
    row.regions[0].labels.append(
        make_label(LabelKind.DETAILED_CAPTION, "a text of the corpus of many words", source=Source.CORPUS)
    )
    statistics = Statistics()
    statistics.add(row)

    assert list(statistics.captions) == [row.regions[0].brief_caption]
    assert count_row(row) == counts
