"""What the keyframes of a track say, put together: one caption of a kind, one answer to a question.

A look is a keyframe that shows the track. What it says weighs as much as the model's probability of it (the
geometric mean over its tokens) times how well the frame shows the thing. Answers of the same words are one
group; the heaviest group gives the text, in the wording of its heaviest look, whose signals the label has.
`track_agreement` is the group's share of all weight. A phrase that names the thing is kept if at least half
of the weight of the looks that could have named it does.

Confidences and decisions are given to the agreed labels by `fo1_data.confidence.route_tracks`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fo1_data.confidence.signals import as_signals
from fo1_data.judging.words import words_of
from schemas.images import ImageRow
from schemas.labels import Label, LabelKind, Source
from schemas.regions import TEXT_COLUMNS, Region
from schemas.tracks import TRACK_DISAGREES, Track, TrackAnswer, TrackPhrase

_NAMING = (LabelKind.DETECT, LabelKind.GROUND, LabelKind.GROUNDED_CAPTION)
# A second group with more than this share of the weight of the heaviest one is nearly as likely.
_NEARLY = 0.8
_LEAST_AGREEMENT = 0.5
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True)
class Look:
    """A keyframe's row, the region there that shows the track, and how well it does, 0 to 1."""

    row: ImageRow
    region: Region
    quality: float

    @property
    def weight(self) -> float:
        return max(self.quality, _LEAST_WEIGHT)


@dataclass(frozen=True)
class _Said:
    """What one look says. key: equal for what means the same."""

    key: str
    text: str
    label: Label
    weight: float


def agree(track: Track, looks: Sequence[Look]) -> None:
    """Fill a track's texts, labels, phrases and answers from its looks."""
    for kind, column in TEXT_COLUMNS.items():
        said = [
            _said(look, label, label.text) for look in looks for label in _model_labels(look.region, kind)
        ]
        if said:
            text, label = _agreed(said)
            setattr(track, column, text)
            track.labels.append(label)
    track.phrases = _phrases(looks)
    track.answers = _answers(looks)


def _model_labels(region: Region, kind: LabelKind) -> list[Label]:
    return [label for label in region.labels if label.kind is kind and label.source is not Source.CORPUS]


def _said(look: Look, label: Label, text: str) -> _Said:
    signals = {signal.name: signal.value for signal in label.signals}
    probability = math.exp(min(0.0, signals.get("logprob_mean", 0.0)))
    return _Said(_key(text), text, label, look.weight * max(probability, _LEAST_WEIGHT))


def _key(text: str) -> str:
    return " ".join(words_of(text))


def _agreed(said: Sequence[_Said]) -> tuple[str, Label]:
    """The text of the heaviest group, the first of equal ones, and its label."""
    groups: dict[str, list[_Said]] = {}
    for one in said:
        groups.setdefault(one.key, []).append(one)
    weights = {key: math.fsum(one.weight for one in members) for key, members in groups.items()}
    first, *others = sorted(weights, key=lambda key: -weights[key])
    share = weights[first] / math.fsum(weights.values())
    nearly = bool(others) and weights[others[0]] >= _NEARLY * weights[first]
    best = max(groups[first], key=lambda one: one.weight)
    disagrees = share < _LEAST_AGREEMENT or nearly
    return best.text, _label(best, share, len(said), disagrees)


def _label(best: _Said, share: float, num_looks: int, disagrees: bool) -> Label:
    """The label of what a share of the looks says, by the best of them."""
    values = {"track_agreement": share, "track_keyframes": float(num_looks)}
    return best.label.model_copy(
        update={
            "confidence": None,
            "decision": None,
            "signals": [*best.label.signals, *as_signals(values)],
            "reasons": [TRACK_DISAGREES] if disagrees else [],
        }
    )


def _phrases(looks: Sequence[Look]) -> list[TrackPhrase]:
    """The phrases that name the thing in most of the looks at it, the heaviest of a kind first."""
    phrases = []
    for kind in _NAMING:
        asked = [look for look in looks if any(part.kind is kind for part in look.row.groundings)]
        named: dict[str, list[_Said]] = {}
        for look in asked:
            for said in _names_of(look, kind):
                named.setdefault(said.key, []).append(said)
        total = math.fsum(look.weight for look in asked)
        weights = {key: math.fsum(one.weight for one in group) for key, group in named.items()}
        for key in sorted(weights, key=lambda key: -weights[key]):
            share = min(1.0, weights[key] / total)
            if share >= _LEAST_AGREEMENT:
                best = max(named[key], key=lambda one: one.weight)
                nearly = 1 - share >= _NEARLY * share
                label = _label(best, share, len(asked), nearly)
                phrases.append(TrackPhrase(phrase=best.text, kind=kind, label=label))
    return phrases


def _names_of(look: Look, kind: LabelKind) -> list[_Said]:
    """The phrases of a kind that name the thing in one look, each once, with the weight of the look."""
    named = [
        part for part in look.row.groundings if part.kind is kind and look.region.region_id in part.region_ids
    ]
    said = {
        _key(part.phrase): _Said(_key(part.phrase), part.phrase, part.label, look.weight) for part in named
    }
    return list(said.values())


def _answers(looks: Sequence[Look]) -> list[TrackAnswer]:
    """The answer to each question that was asked about the thing."""
    by_question: dict[str, list[_Said]] = {}
    for look in looks:
        for answer in look.row.answers:
            if answer.region_id == look.region.region_id and answer.label.source is not Source.CORPUS:
                said = _said(look, answer.label, answer.answer)
                by_question.setdefault(answer.question, []).append(said)
    agreed = {question: _agreed(said) for question, said in by_question.items()}
    return [
        TrackAnswer(question=question, answer=text, label=label) for question, (text, label) in agreed.items()
    ]
