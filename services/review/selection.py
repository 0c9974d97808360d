"""The images of a dataset that a selection names, from its index."""

from schemas.reviews import ReviewSelection
from services.database.engine import Database
from services.datasets import sample_lists
from services.datasets.documents import KIND, SOURCE, label_term, split_term, word_terms
from services.datasets.sample_lists import SampleFilter

_PAGE = 1000


def filter_of(selection: ReviewSelection) -> SampleFilter:
    """Return the selection as a filter of samples."""
    terms = [label_term(selection.label)] if selection.label else []
    for prefix, value in ((KIND, selection.kind), (SOURCE, selection.source)):
        terms += [f"{prefix}{value}"] if value else []
    terms += [split_term(selection.split)] if selection.split else []
    terms += word_terms(selection.text) if selection.text else []
    return SampleFilter(
        tuple(dict.fromkeys(terms)), selection.decision, selection.min_confidence, selection.max_confidence
    )


async def selected_images(database: Database, number: int, selection: ReviewSelection) -> frozenset[str]:
    """Return the ids of the selected images of the dataset with this number, which is indexed."""
    sample_filter, after = filter_of(selection), -1
    image_ids: set[str] = set()
    while True:
        page = await database.read(
            lambda connection, after=after: sample_lists.list_samples(  # type: ignore[misc]
                connection, number, sample_filter, after, _PAGE
            )
        )
        image_ids.update(sample_lists.image_of(document) for document in page.documents)
        if page.after is None:
            begins = None if selection.images is None else tuple(selection.images)
            return frozenset(i for i in image_ids if begins is None or i.startswith(begins))
        after = int(page.after[0])
