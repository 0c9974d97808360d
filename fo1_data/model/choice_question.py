"""The multiple-choice question "Is X in this image?", with its options in any order.

It checks whether the object of a phrase is present before its grounding is accepted: the probability of a
letter shows absence more reliably than an empty list of regions.
"""

from collections.abc import Sequence

import numpy as np

CHOICES = ("yes", "no")
LETTERS = ("A", "B")


def choice_question(phrase: str, options: Sequence[str] = CHOICES) -> str:
    """The text of the question; `options` are in the order of their letters."""
    listed = " ".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True))
    return f"Is {phrase} in this image? {listed} Answer with the letter."


def draw_choice(phrase: str, present: bool, rng: np.random.Generator) -> tuple[str, str]:
    """A question with its options in random order, and the letter of the correct option."""
    options = CHOICES if rng.random() < 0.5 else CHOICES[::-1]
    return choice_question(phrase, options), LETTERS[options.index("yes" if present else "no")]
