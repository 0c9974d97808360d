"""Whether a box that comes back from Label Studio is the one that was shown. Pure functions."""

from schemas.regions import Box

# Browsers compute in percent: an unmoved box comes back with a far smaller error, a moved one with a larger.
STILL_PX = 0.01


def is_still(a: Box, b: Box) -> bool:
    """Return whether two boxes are equal to within STILL_PX on every side."""
    return all(abs(first - second) <= STILL_PX for first, second in zip(a, b, strict=True))
