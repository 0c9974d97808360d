"""What the first measurements of a detector's training say about its end: whether it learns, or why not."""

from fo1_data.training.detection.measuring import Found

_HARDLY = 0.02
# How often a view is usually shown until what it shows is found.
USUAL_PASSES = 20


def early_verdict(first: Found, now: Found, passes: float) -> str:
    """One sentence for the person who waits.

    `first`: measured before the first step; `passes`: how often the whole run shows each view.
    """
    surest = f"of its {now.known:,} surest boxes {now.surest:.2f} are right ({first.surest:.2f} before)"
    if max(now.surest - first.surest, now.f1 - first.f1) > _HARDLY:
        return f"it learns: {surest}"
    head = f"no better than before yet, {surest}: "
    if now.tiny > now.known / 2:
        share = now.tiny / now.known
        return (
            f"{head}{share:.2f} of the boxes are too small as the detector sees them, so it will hardly "
            "become better; --tile-px shows them larger"
        )
    if passes < USUAL_PASSES:
        return (
            f"{head}this run shows each view {passes:.1f} times only, {USUAL_PASSES} or more are usual: give "
            "it more --steps"
        )
    return f"{head}more images would help most; if the loss does not fall either, another --learning-rate"
