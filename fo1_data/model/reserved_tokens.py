"""Reserved tokens in texts of corpora and people: the one place that makes them harmless.

A reserved token is markup of the prompt, of an answer, or of a trainer's chat template (`<|im_end|>`,
`<region3>`, `<ground>`, `<image>`). In a question it would act as markup, and an answer that is trained on
would teach it. Texts for the model lose their reserved tokens; in files for other trainers they stay
readable, with a `_` that breaks them.
"""

import re

_NAMES = r"ground|objects|think|answer|image|video|audio|regionfeat|region\d+|tool_call|tool_response|s"
_RESERVED = re.compile(rf"<\|[^|<>]*\|>|</?(?:{_NAMES})>")
_OPENING = re.compile(rf"<(?=\|[^|<>]*\|>|/?(?:{_NAMES})>)")


def without_reserved(text: str) -> str:
    """The text without reserved tokens; a text that holds none is returned as it is.

    Empty if the text holds nothing else.
    """
    if not _RESERVED.search(text):
        return text
    return re.sub(r"[ \t]{2,}", " ", blanked(text)).strip()


def blanked(text: str) -> str:
    """The text with a space for each reserved token, so that texts before and behind it stay apart."""
    while _RESERVED.search(text):
        text = _RESERVED.sub(" ", text)
    return text


def clean_phrase(phrase: str) -> str:
    """A phrase without reserved tokens and with single spaces."""
    return " ".join(blanked(phrase).split())


def broken_up(text: str) -> str:
    """The text with a `_` in each reserved token: `<_|im_end|>`, `<_image>`."""
    return _OPENING.sub("<_", text)
