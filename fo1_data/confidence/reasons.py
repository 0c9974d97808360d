"""Why a label goes to review, in words for reviewers; and signals oriented so that more means surer.

`signals.SIGNALS` says which direction of a signal is a bad sign. A calibration also uses signals that have
no text here; they only give no reason.
"""

from collections.abc import Mapping, Sequence

from fo1_data.confidence.signals import SIGNALS
from schemas.calibration import SignalColumn

# `{text}`: the label's text or phrase; `{word}`: its least sure word.
REASON_TEXTS: dict[str, str] = {
    "logprob_mean": "low token probability in “{text}”",
    "logprob_min": "low token probability at “{word}”",
    "margin_min": "another answer was nearly as likely",
    "entropy_first": "unsure how to begin the answer",
    "region_prob_min": "a region that is named is uncertain",
    "stop_margin": "another region may have been left out",
    "left_out_prob_max": "another region may have been left out",
    "objectness": "the box may hold no object",
    "overlap_max": "the box overlaps another one",
    "border_sides": "the box is cut off by the image's border",
    "area_share": "the box is small",
    "caption_agreement": "the phrase and the caption of a region it names disagree",
    "caption_elsewhere": "another region's caption fits the phrase better",
    "captions_left_out": "captions of other regions say the phrase too",
    "ask_back_hit": "caption and ask-back disagree",
    "ask_back_others": "ask-back finds other regions for this caption",
    "ask_back_probability": "ask-back is unsure of this region",
    "absence_agreement": "phrase may be absent",
    "blind_drop": "the caption hardly depends on what the region shows",
}
# For a phrase that was answered as absent, the doubt is the opposite.
_TEXTS_IF_ABSENT = {"absence_agreement": "phrase may be present after all"}
# A fault by themselves, at any value above 0.
FAULT_TEXTS: dict[str, str] = {
    "truncated": "the answer was cut off at the token limit",
    "out_of_range": "it names regions that do not exist",
}
DIRECTED = tuple(name for name, meaning in SIGNALS.items() if meaning.direction)
_MOST_REASONS = 3
_LONGEST_TEXT = 40


def reasons_for(
    signals: Mapping[str, float], columns: Sequence[SignalColumn], text: str, absent: bool = False
) -> list[str]:
    """At most three reasons to doubt a label, the worst first: signals outside the range of right labels.

    `columns`: the usual ranges, from the calibration. `absent`: the label says that its phrase is not in
    the image.
    """
    reasons = [template for name, template in FAULT_TEXTS.items() if signals.get(name, 0.0) > 0]
    unusual: list[tuple[float, str]] = []
    for column in columns:
        value = signals.get(column.name)
        template = REASON_TEXTS.get(column.name)
        if value is None or template is None or column.name not in SIGNALS:
            continue
        low_is_bad = SIGNALS[column.name].direction > 0
        excess = column.usual_low - value if low_is_bad else value - column.usual_high
        if excess > 0:
            template = _TEXTS_IF_ABSENT.get(column.name, template) if absent else template
            unusual.append((-excess / column.deviation, _fill(template, signals, text)))
    reasons += [reason for _, reason in sorted(unusual)]
    return list(dict.fromkeys(reasons))[:_MOST_REASONS]


def oriented(signals: Mapping[str, float]) -> dict[str, float]:
    """The signals of a label that have a direction, with their sign set so that more means more trust."""
    return {name: signals[name] * SIGNALS[name].direction for name in DIRECTED if name in signals}


def _fill(template: str, signals: Mapping[str, float], text: str) -> str:
    words = text.split()
    index = int(signals.get("min_token_position", -1))
    word = words[index] if 0 <= index < len(words) else text
    return template.replace("{word}", _shortened(word)).replace("{text}", _shortened(text))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
