"""The form that filters a dataset's gallery. Its fields are the query of the page: a link is a saved view."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from pydantic import BaseModel

from schemas.labels import Decision
from services.datasets.documents import KIND, SOURCE, SPLIT, label_term, word_terms
from services.datasets.sample_lists import SampleFilter

_MAX_TEXT, _MAX_NUMBER, _MAX_IMAGES = 500, 10, 20_000


class GalleryForm(BaseModel):
    """The fields of the gallery's form, as they were typed; confidences in percent."""

    text: str = ""
    label: str = ""
    decision: str = ""
    kind: str = ""
    source: str = ""
    split: str = ""
    min_confidence: str = ""
    max_confidence: str = ""
    order: str = "dataset"
    # The first characters of the ids of images that a person selected, with commas; the gallery shows all.
    images: str = ""

    def sample_filter(self) -> SampleFilter:
        """Return the filter; a field that cannot be parsed filters nothing."""
        terms = [*([label_term(self.label)] if self.label.strip() else []), *word_terms(self.text)]
        for prefix, value in ((KIND, self.kind), (SOURCE, self.source), (SPLIT, self.split)):
            terms += [prefix + value] if value else []
        decision = self.decision if self.decision in list(Decision) else None
        low, high = _share(self.min_confidence), _share(self.max_confidence)
        # The ends of the slider stand for no bound: a sample without a confidence is shown, too.
        return SampleFilter(
            tuple(dict.fromkeys(terms)), decision, low if low else None, high if high != 1 else None
        )

    def shown(self) -> dict[str, str]:
        """Return the fields that differ from their defaults."""
        filled = {name: value for name, value in self if value != GalleryForm.model_fields[name].default}
        full = {"min_confidence": "0", "max_confidence": "100"}
        return {name: value for name, value in filled.items() if full.get(name) != value}

    def query(self, **more: str) -> str:
        """Return the query string of the view, with `more` fields."""
        return urlencode({**self.shown(), **more})


def _share(percent: str) -> float | None:
    try:
        value = float(percent) / 100
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


async def gallery_form(
    text: str = "",
    label: str = "",
    decision: str = "",
    kind: str = "",
    source: str = "",
    split: str = "",
    min_confidence: str = "",
    max_confidence: str = "",
    order: str = "dataset",
    images: str = "",
) -> GalleryForm:
    """Return the form of a request."""
    return GalleryForm(
        text=_clean(text)[:_MAX_TEXT],
        label=_clean(label)[:_MAX_TEXT],
        decision=decision,
        kind=_clean(kind)[:_MAX_TEXT],
        source=_clean(source)[:_MAX_TEXT],
        split=_clean(split)[:_MAX_TEXT],
        min_confidence=min_confidence[:_MAX_NUMBER],
        max_confidence=max_confidence[:_MAX_NUMBER],
        order=order,
        images=images[:_MAX_IMAGES],
    )


def _clean(text: str) -> str:
    """Return a text without what no database takes: NUL characters and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode()


InForm = Annotated[GalleryForm, Depends(gallery_form)]
