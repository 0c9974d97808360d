"""Answers of models: what is well formed comes back as it was meant, everything else becomes labels too."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from factories import make_image, make_row
from fuzz_target import Runner, check
from odd_values import ODD_TEXTS, changed_text

from fo1_data.dataset.row_problems import row_problems
from fo1_data.labelling.questions import LabelQuestion
from fo1_data.labelling.rows import AnsweredQuestion, fill_row
from fo1_data.labelling.second_opinions import LabelledImage, SecondOpinions
from fo1_data.model.engine.generation import Generation, RegionStep
from fo1_data.model.engine.questions import OpenImage, Question
from fo1_data.model.parsing import parse_caption, parse_count, parse_grounded, parse_pointing, parse_reasoned
from fo1_data.model.reserved_tokens import clean_phrase
from fo1_data.opinions.regions import RegionQuestion
from schemas.corpus import CorpusImage
from schemas.images import ImageRow
from schemas.labels import MOST_COUNT, LabelKind

_WORDS = (
    "a red cat",
    "two dogs",
    "left of",
    "and",
    "is",
    "x",
    "12",
    "\u4e2d\u6587",
    "3.5 m",
    "caf\u00e9",
    "\u0661\u0662",
)
_PIECES = (
    "<ground>",
    "</ground>",
    "<objects>",
    "</objects>",
    "<region0>",
    "<region1>",
    "<region7>",
    "<region99>",
    "<region" + "9" * 5000 + ">",
    "<region\u0661>",
    "<region>",
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "<|im_end|>",
    "<|",
    "|>",
    "<",
    "9" * 5000,
    "\n\n",
    '[{"bbox_2d": [1, 2, 3, 4]}]',
    "```json",
)
_KINDS = [kind for kind in LabelKind if kind is not LabelKind.VISUAL_EXAMPLE]


@contextmanager
def answers(folder: Path) -> Iterator[Runner]:
    rows = [make_row(number, number) for number in range(4)]
    image = make_image()

    def run(chance: random.Random) -> str:
        way = chance.randrange(20)
        if way < 6:
            return chance.choice((_grounded, _pointing, _count, _reasoned))(chance)
        if way < 18:
            return _odd(chance)
        row = chance.choice(rows).model_copy(deep=True)
        for region in row.regions:
            region.labels, region.decision = [], None
        row.groundings, row.counts, row.answers, row.decision = [], [], [], None
        return _filled(row, image, chance)

    yield run


def _text(chance: random.Random) -> str:
    return " ".join(chance.choice(_WORDS) for _ in range(chance.randint(1, 4)))


def _tokens(indices: Sequence[int]) -> str:
    return "".join(f"<region{index}>" for index in indices)


def _indices(chance: random.Random, num_regions: int) -> list[int]:
    return chance.sample(range(num_regions), chance.randint(0, min(num_regions, 5)))


def _grounded(chance: random.Random) -> str:
    num_regions = chance.choice((0, 1, 3, 100))
    parts: list[tuple[str, str, list[int]]] = [
        (_text(chance), _text(chance), _indices(chance, num_regions)) for _ in range(chance.randint(0, 4))
    ]
    answer = " ".join(
        f"{before} <ground>{phrase}</ground><objects>{_tokens(indices)}</objects>"
        for before, phrase, indices in parts
    )
    grounded = parse_grounded(answer, num_regions)
    check([(span.phrase, span.indices) for span in grounded.spans] == [part[1:] for part in parts], answer)
    check(grounded.text == " ".join(f"{before} {phrase}" for before, phrase, _ in parts), answer)
    return "valid: a grounded caption"


def _pointing(chance: random.Random) -> str:
    indices = _indices(chance, 100)
    span = parse_pointing(f"<ground>x</ground><objects>{_tokens(indices)}</objects>", "x", 100)
    check((span.phrase, span.indices, span.out_of_range) == ("x", indices, 0), span, indices)
    return "valid: regions of a phrase"


def _count(chance: random.Random) -> str:
    indices, number = _indices(chance, 100), chance.choice((0, 1, 7, 10**6))
    found, span = parse_count(f"<objects>{_tokens(indices)}</objects> There are {number}.", "x", 100)
    check((found, span.indices) == (number, indices), found, span)
    return "valid: a count"


def _reasoned(chance: random.Random) -> str:
    reasoning, text = _text(chance), _text(chance)
    check(parse_reasoned(f"<think>{reasoning}</think><answer>{text}</answer>") == (text, reasoning), text)
    return "valid: an answer with reasoning"


def _odd_answer(chance: random.Random) -> str:
    pieces = [
        chance.choice(chance.choice((_PIECES, _WORDS, ODD_TEXTS))) for _ in range(chance.randint(0, 15))
    ]
    answer = chance.choice(("", " ")).join(pieces)
    return changed_text(answer, chance) if chance.random() < 0.3 else answer


def _odd(chance: random.Random) -> str:
    answer, num_regions = _odd_answer(chance), chance.choice((0, 1, 2, 100))
    spans = [parse_pointing(answer, "x", num_regions), *parse_grounded(answer, num_regions).spans]
    number, span = parse_count(answer, "x", num_regions)
    check(0 <= number <= MOST_COUNT, number)
    for part in [*spans, span]:
        check(all(0 <= index < num_regions for index in part.indices), part, "of", num_regions)
        check(len(set(part.indices)) == len(part.indices) and part.out_of_range >= 0, part)
    for text in (parse_caption(answer), clean_phrase(answer), *filter(None, parse_reasoned(answer))):
        check(text == " ".join(text.split()), repr(text))
    check(parse_caption(parse_caption(answer)) == parse_caption(answer), repr(answer))
    return "odd: parsed"


def _filled(row: ImageRow, image: object, chance: random.Random) -> str:
    """Odd answers to questions about an image become labels of regions that it has."""
    num_regions = len(row.regions)
    features = np.zeros((num_regions, 8), np.float32)
    opened = OpenImage(0, num_regions, (0,), (), (0,), features)
    asked = [_answered(opened, chance) for _ in range(chance.randint(1, 4))]
    evidence = fill_row(row, CorpusImage(uri="a.png"), opened, [one for one in asked if one is not None])
    check(not list(row_problems(row)), list(row_problems(row)))
    check(ImageRow.model_validate_json(row.model_dump_json()) == row, "does not survive JSON")
    for part in evidence:
        check(all(0 <= region < num_regions for region in part.regions), part.regions)
    SecondOpinions(_OddModel(chance), 1).ask([LabelledImage(image, row, evidence)])  # type: ignore[arg-type]
    check(not list(row_problems(row)), list(row_problems(row)))
    return "odd: a row"


class _OddModel:
    """A second model that says anything, or nothing."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def answer(self, questions: Sequence[RegionQuestion]) -> list[str | None]:
        return [self._chance.choice((None, _odd_answer(self._chance)[:500])) for _ in questions]


def _answered(image: OpenImage, chance: random.Random) -> AnsweredQuestion | None:
    kind = chance.choice(_KINDS)
    region = chance.randrange(image.num_regions) if image.num_regions else None
    if kind.per_region and region is None:
        return None
    ask: Callable[[], str] = lambda: _text(chance)  # noqa: E731
    question = LabelQuestion(
        kind, Question(image, "asked"), region if kind.per_region or kind is LabelKind.ASK else None, ask()
    )
    answer = _odd_answer(chance).encode("utf-8", "replace").decode()
    num_tokens = chance.randint(0, 6)
    steps = [
        RegionStep(
            step,
            np.full(image.num_regions, -1.0, np.float32),
            -2.0,
            chance.randint(-1, image.num_regions - 1),
        )
        for step in sorted(chance.sample(range(num_tokens), chance.randint(0, num_tokens)))
    ]
    generation = Generation(
        token_ids=[1] * num_tokens,
        logprobs=[-chance.random() * 50 for _ in range(num_tokens)],
        margins=[chance.random() for _ in range(num_tokens)],
        entropies=[chance.random() for _ in range(num_tokens)],
        region_steps=steps,
        finished=num_tokens > 0 and chance.random() < 0.8,
        ends=sorted(chance.randint(0, len(answer)) for _ in range(num_tokens)),
        text=answer,
    )
    return AnsweredQuestion(question, generation)
