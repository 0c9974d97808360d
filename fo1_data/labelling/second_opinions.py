"""What a second model says of the regions whose labels look unsure, as the signal `second_opinion`.

Each such region is asked once for each kind of answer that its labels need: captions and phrases are compared
with a short caption of the second model, texts with the text that it reads. The labels themselves stay as
they are. How many of its pictures the second model gave no answer to is the signal `second_opinion_refused`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from fo1_data.confidence.agreement_signals import shared_words
from fo1_data.confidence.cascade import is_unsure
from fo1_data.confidence.signals import as_signals
from fo1_data.judging.words import edit_distance
from fo1_data.labelling.rows import LabelEvidence
from fo1_data.opinions.load import load_second_model
from fo1_data.opinions.regions import RegionQuestion, SecondModel
from schemas.images import ImageRow
from schemas.jobs import RunConfig
from schemas.labels import OPINION_REFUSED, LabelKind

# Of a phrase that names more regions, the first ones are asked about.
_MAX_NAMED = 8
_RegionKind = tuple[int, LabelKind]


@dataclass(frozen=True)
class LabelledImage:
    """An RGB image, its row with boxes in its pixels, and the row's labels."""

    image: Image.Image
    row: ImageRow
    labels: Sequence[LabelEvidence]


@dataclass(frozen=True)
class SecondOpinions:
    """model: whom to ask. below: labels whose least sure part is less probable are asked about; 1: all."""

    model: SecondModel
    below: float

    def ask(self, images: Sequence[LabelledImage]) -> None:
        """Ask about the labels of all these images at once and add the signal to them. Raises RunError."""
        places: dict[tuple[int, _RegionKind], int] = {}
        questions: list[RegionQuestion] = []
        for number, labelled in enumerate(images):
            for evidence in self._unsure(labelled):
                for region_kind in _needed(evidence):
                    if places.setdefault((number, region_kind), len(questions)) == len(questions):
                        questions.append(_question(labelled, region_kind))
        if not questions:
            return
        answers = self.model.answer(questions)
        for number, labelled in enumerate(images):
            for evidence in self._unsure(labelled):
                given = [answers[places[number, region_kind]] for region_kind in _needed(evidence)]
                agreements = [_agreement(evidence, answer) for answer in given if answer is not None]
                known = [agreement for agreement in agreements if agreement is not None]
                told = {"second_opinion": min(known)} if known else {}
                if num_refused := given.count(None):
                    told[OPINION_REFUSED] = num_refused
                evidence.label.signals = [*evidence.label.signals, *as_signals(told)]

    def _unsure(self, labelled: LabelledImage) -> Iterator[LabelEvidence]:
        for evidence in labelled.labels:
            if is_unsure({signal.name: signal.value for signal in evidence.label.signals}, self.below):
                yield evidence


def load_opinions(config: RunConfig) -> SecondOpinions | None:
    """The second model that the settings name; None if they name none. Raises as `load_second_model`."""
    if config.second_opinion is None:
        return None
    model = load_second_model(
        config.second_opinion,
        view=config.second_opinion_view,
        device=config.device,
        dtype=config.dtype,
        engine_bytes=config.engine_bytes,
    )
    return SecondOpinions(model, config.unsure_below)


def _needed(evidence: LabelEvidence) -> list[_RegionKind]:
    """The regions that are asked about for a label, and what is asked."""
    kind = evidence.label.kind
    if kind is LabelKind.OCR:
        return [(evidence.regions[0], LabelKind.OCR)]
    if kind is LabelKind.BRIEF_CAPTION or kind.names_regions:
        return [(region, LabelKind.BRIEF_CAPTION) for region in evidence.regions[:_MAX_NAMED]]
    return []


def _question(labelled: LabelledImage, region_kind: _RegionKind) -> RegionQuestion:
    region, kind = region_kind
    return RegionQuestion(labelled.image, labelled.row.regions[region].box_xyxy, kind)


def _agreement(evidence: LabelEvidence, answer: str) -> float | None:
    """0 to 1; None if the label has nothing to compare."""
    label = evidence.label
    if label.kind is LabelKind.OCR:
        longest = max(len(label.text), len(answer))
        return 1.0 - edit_distance(label.text, answer) / longest if longest else 1.0
    phrase = evidence.answers[0].question.phrase if label.kind.names_regions else None
    return shared_words(phrase or label.text, answer)
