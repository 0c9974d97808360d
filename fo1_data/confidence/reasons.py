"""Why a label goes to review, in words for reviewers.

`signals.SIGNALS` says which direction of a signal is a bad sign. A calibration also uses signals that have
no text here; they only give no reason.
"""

from collections.abc import Mapping, Sequence

from fo1_data.confidence.signals import SIGNALS
from schemas.calibration import SignalColumn

# `{word}`: the least sure word of the label's text or phrase.
REASON_TEXTS: dict[str, str] = {
    "logprob_mean": "unsure of the answer as a whole",
    "logprob_min": "unsure of “{word}”",
    "margin_min": "another answer was nearly as likely",
    "entropy_first": "unsure how to begin the answer",
    "region_prob_min": "unsure of a region that it names",
    "stop_margin": "another region may be missing",
    "left_out_prob_max": "another region may be missing",
    "objectness": "the box may hold no object",
    "overlap_max": "the box overlaps another one",
    "border_sides": "the box is cut off by the border",
    "area_share": "the box is small",
    "caption_agreement": "a named region's caption disagrees",
    "caption_elsewhere": "another region's caption fits better",
    "captions_left_out": "other regions' captions say it too",
    "track_agreement": "other frames of the track say something else",
    "ask_back_hit": "asked back, it was not found",
    "ask_back_others": "asked back, other regions were found",
    "ask_back_probability": "asked back, unsure of this region",
    "absence_agreement": "it may be absent",
    "blind_drop": "it hardly depends on the picture",
    "second_opinion": "a second model says something else",
}
# For a phrase that was answered as absent, the doubt is the opposite.
_TEXTS_IF_ABSENT = {"absence_agreement": "it may be present after all"}
# A fault by themselves, at any value above 0.
FAULT_TEXTS: dict[str, str] = {
    "truncated": "the answer was cut off at the token limit",
    "out_of_range": "it names regions that do not exist",
}
DIRECTED = tuple(name for name, meaning in SIGNALS.items() if meaning.direction)
MOST_REASONS = 3
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
    return list(dict.fromkeys(reasons))[:MOST_REASONS]


def _fill(template: str, signals: Mapping[str, float], text: str) -> str:
    words = text.split()
    index = int(signals.get("min_token_position", -1))
    word = words[index] if 0 <= index < len(words) else text
    return template.replace("{word}", _shortened(word))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
