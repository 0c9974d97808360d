"""What is measured of a model while it trains: exact answers by kind, beside guessing."""

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import chain

import pytest

from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import Question
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.events import AnswerKind
from fo1_data.training.measuring import Guesses, MeasuredSample
from fo1_data.training.samples.distractors import load_distractors
from fo1_data.training.samples.negatives import PhraseBook
from fo1_data.training.samples.open_examples import TrainingExample
from fo1_data.training.samples.questions import TrainingQuestion
from fo1_data.training.samples.source import ExampleSource, Group, open_source
from fo1_data.training.settings import TrainConfig
from fo1_data.training.trainer import Trainer
from schemas.labels import LabelKind

CONFIG = TrainConfig(measured_images=4, questions_per_image=30, device="cpu", threads=1, feature_cache_gib=0)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ExampleSource:
    return open_source([str(write_scenes(tmp_path_factory.mktemp("scenes") / "corpus", 4, 70, (3, 6)))])


@pytest.fixture(scope="module")
def sample(source: ExampleSource) -> MeasuredSample:
    trainer = Trainer(load_checkpoint("fo1-tiny"), 2, CONFIG)
    return MeasuredSample(trainer, source, CONFIG, PhraseBook(source.entries()))


def test_an_answer_is_right_if_the_engine_gives_it_token_for_token(sample: MeasuredSample) -> None:
    engine = Fo1Engine(load_checkpoint("fo1-tiny"))
    tokenizer = engine.checkpoint.tokenizer
    right, asked = Counter[AnswerKind](), Counter[AnswerKind]()
    for image in chain.from_iterable(map(sample.images, range(len(sample)))):
        (opened,) = engine.open_prepared([image.prepared])
        given = engine.ask(
            [Question(opened, question.text, max_new_tokens=64) for question in image.questions]
        )
        for question, generation in zip(image.questions, given, strict=True):
            correct = [*tokenizer.answer_ids(question.answer), tokenizer.special.end_of_turn]
            asked[question.answer_kind] += 1
            right[question.answer_kind] += generation.token_ids == correct
    figures = sample.measure(Guesses(sample.questions))
    assert figures.questions == dict(asked)
    assert figures.accuracy == {kind: right[kind] / asked[kind] for kind in asked}
    assert {AnswerKind.CAPTION, AnswerKind.PHRASE, AnswerKind.ABSENT, AnswerKind.COUNT} <= set(asked)
    assert any(0 < share < 1 for share in figures.accuracy.values())


def test_a_sample_is_drawn_once_by_the_seed_and_shown_as_it_is(source: ExampleSource) -> None:
    trainer = Trainer(load_checkpoint("fo1-tiny"), 2, CONFIG)
    varied = CONFIG.model_copy(update={"mirror_share": 1.0, "box_jitter": 0.4, "crop_share": 1.0})
    samples = [MeasuredSample(trainer, source, config, None) for config in (CONFIG, varied)]
    first, second = (sample.measure(Guesses([])) for sample in samples)
    assert first == second == samples[0].measure(Guesses([]))


def test_a_run_with_distractors_is_measured_with_them_in_mixed_order(source: ExampleSource) -> None:
    """Else the labelled boxes would be all there are, and a phrase of one name would mean all of them."""
    trainer = Trainer(load_checkpoint("fo1-tiny"), 2, CONFIG)
    config = CONFIG.model_copy(update={"distractor_share": 0.5, "names_as_phrases": True})
    few = ExampleSource([replace(group, load=partial(_first_regions, group)) for group in source.groups])
    plain = MeasuredSample(trainer, few, config, None)
    mixed = MeasuredSample(trainer, few, config, None, load_distractors(config))
    boxes = [[len(image.prepared.aux_boxes) for number in range(4) for image in sample.images(number)]
             for sample in (plain, mixed, mixed)]  # fmt: skip
    assert all(number > one for one, number in zip(*boxes[:2], strict=True))
    assert boxes[1] == boxes[2]
    named = [set(question.answer_boxes) for question in mixed.questions if question.answer_boxes]
    assert any(0 not in positions for positions in named)


def _first_regions(group: Group) -> list[TrainingExample]:
    """The examples with their first region alone: the detector finds the others."""
    return [
        replace(example, entry=example.entry.model_copy(update={
            "regions": (example.entry.regions or [])[:1], "phrases": [], "counts": []}))
        for example in group.load()
    ]  # fmt: skip


def question(answer: str, kind: LabelKind, *boxes: int) -> TrainingQuestion:
    return TrainingQuestion("?", answer, kind, answer_boxes=boxes)


def test_guessing_gives_the_most_frequent_answer_whatever_the_phrase() -> None:
    absent = [question(f"<ground>{text}</ground><objects></objects>", LabelKind.GROUND) for text in "abc"]
    present = [question("<ground>d</ground><objects><region1></objects>", LabelKind.GROUND, 1)]
    captions = [question(text, LabelKind.BRIEF_CAPTION) for text in ("king", "king", "queen")]
    guesses = Guesses([*absent, *present, *captions])
    assert guesses.accuracy([*absent, *present, *captions]) == {
        AnswerKind.CAPTION: pytest.approx(2 / 3),
        AnswerKind.PHRASE: 0.0,
        AnswerKind.ABSENT: 1.0,
    }
    assert guesses.accuracy([question("7", LabelKind.COUNT)]) == {AnswerKind.COUNT: 0.0}
