"""Why a label goes to people, in words a reviewer understands; and which signals speak for trust.

Each signal that tells of trust has a side: `low` where small values are a bad sign, `high` where large ones
are. Signals that are not listed are used by calibrations all the same; they only give no reason.
"""

from collections.abc import Mapping, Sequence

from schemas.calibration import SignalColumn

# Name: (the bad side, what a reviewer reads). `{text}` is the label's own text or phrase.
SAYS: dict[str, tuple[str, str]] = {
    "logprob_mean": ("low", "low token probability in “{text}”"),
    "logprob_min": ("low", "one token of “{text}” is a guess"),
    "margin_min": ("low", "another answer was nearly as likely"),
    "entropy_first": ("high", "unsure how to begin the answer"),
    "region_prob_min": ("low", "a region that is named is uncertain"),
    "stop_margin": ("low", "another region may have been left out"),
    "left_out_prob_max": ("high", "another region may have been left out"),
}
# Never usual: wrong by themselves, whatever else is said.
ALWAYS: dict[str, str] = {
    "truncated": "the answer was cut off at the token limit",
    "out_of_range": "it names regions that do not exist",
}
_MOST_REASONS = 3
_LONGEST_TEXT = 40


def reasons_for(signals: Mapping[str, float], columns: Sequence[SignalColumn], text: str) -> list[str]:
    """At most three reasons to doubt a label, the worst first: signals outside of what right labels show."""
    found = [told for name, told in ALWAYS.items() if signals.get(name, 0.0) > 0]
    far: list[tuple[float, str]] = []
    for column in columns:
        value = signals.get(column.name)
        if value is None or column.name not in SAYS:
            continue
        side, told = SAYS[column.name]
        excess = column.usual_low - value if side == "low" else value - column.usual_high
        if excess > 0:
            far.append((-excess / column.deviation, told))
    shown = text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
    found += [told.replace("{text}", shown) for _, told in sorted(far)]
    return list(dict.fromkeys(found))[:_MOST_REASONS]


def oriented(signals: Mapping[str, float]) -> dict[str, float]:
    """The listed signals of a label, turned so that more means more trust."""
    turned = {
        name: (signals[name] if side == "low" else -signals[name])
        for name, (side, _) in SAYS.items()
        if name in signals
    }
    return turned | {name: -signals[name] for name in ALWAYS if name in signals}
