"""The multiple-choice question "is X in this image?", with its letters in any order.

Asked of a phrase before its grounding is believed: a letter's probability is a better sign of absence
than an empty list.
"""

from collections.abc import Sequence

import numpy as np

CHOICES = ("yes", "no")
LETTERS = ("A", "B")


def choice_question(phrase: str, options: Sequence[str] = CHOICES) -> str:
    """The question's text, with `options` in the order of their letters."""
    listed = " ".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True))
    return f"Is {phrase} in this image? {listed} Answer with the letter."


def draw_choice(phrase: str, present: bool, rng: np.random.Generator) -> tuple[str, str]:
    """A question with shuffled letters and its right letter."""
    options = CHOICES if rng.random() < 0.5 else CHOICES[::-1]
    return choice_question(phrase, options), LETTERS[options.index("yes" if present else "no")]
