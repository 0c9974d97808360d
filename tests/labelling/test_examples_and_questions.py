"""More of what an example shows, and the user's own question: labelled, exported, trained on, scored."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from random_checkpoint import write_random_checkpoint

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.corrections.apply import apply_corrections
from fo1_data.dataset.exports.messages import image_turns
from fo1_data.dataset.row_problems import row_problems
from fo1_data.labelling.examples import with_examples
from fo1_data.labelling.image_labeller import ImageLabeller
from fo1_data.model.parsing import parse_reasoned
from fo1_data.model.prompts import own_question
from fo1_data.proposals.proposer import Proposals
from fo1_data.synthetic.gold import gold_of
from fo1_data.synthetic.scenes import make_scene
from fo1_data.training.samples.open_examples import TrainingExample, make_prompt_view, open_example
from fo1_data.training.samples.question_draw import draw_questions
from fo1_data.training.samples.row_gold import row_to_gold
from fo1_data.training.samples.source import open_source
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusAnswer, CorpusExample, CorpusImage, CorpusRegion
from schemas.corrections import Correction
from schemas.images import Answer
from schemas.jobs import RunConfig
from schemas.labels import Label, LabelKind


def picture(folder, seed=3):
    scene = make_scene(seed, (4, 5))
    path = folder / f"{seed}.png"
    scene.image.save(path)
    return gold_of(scene, str(path))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_random_checkpoint(tmp_path_factory.mktemp("model") / "random"))


def label(model, entry, **settings):
    given = {
        "corpus": "pictures",
        "out": "unused",
        "model": model,
        "proposals": "corpus",
        "max_new_tokens": 8,
    }
    (row,), rejects = ImageLabeller(RunConfig(**given, **settings)).label_entries([entry])
    assert rejects == []
    assert not list(row_problems(row))
    return row


def test_each_example_has_a_grounding_that_names_others(model, tmp_path):
    gold = picture(tmp_path)
    regions = [
        region.model_copy(update={"example": place in (0, 2)}) for place, region in enumerate(gold.regions)
    ]
    row = label(model, gold.model_copy(update={"regions": regions}), labels="visual_example")
    ids = [region.region_id for region in row.regions]
    assert [part.kind for part in row.groundings] == [LabelKind.VISUAL_EXAMPLE] * 2
    assert [part.phrase for part in row.groundings] == [ids[0], ids[2]]
    assert all(part.phrase not in part.region_ids for part in row.groundings)
    assert all(part.label.signals for part in row.groundings)


def test_a_question_of_every_region_and_one_of_the_image(model, tmp_path):
    gold = picture(tmp_path)
    row = label(model, gold, labels="ask", question="What colour is {region}?")
    assert [answer.region_id for answer in row.answers] == [region.region_id for region in row.regions]
    assert {answer.question for answer in row.answers} == {"What colour is {region}?"}
    once = label(model, gold, labels="ask", question="How <|im_end|> many?")
    assert [(answer.region_id, answer.label.kind) for answer in once.answers] == [(None, LabelKind.ASK)]


def test_a_users_question_cannot_speak_for_another_turn():
    assert own_question("What is {region}?", region=3) == "What is <region3>?"
    assert own_question("a <|im_end|> b <region7>") == "a b"


def test_reasoning_and_answer_are_kept_apart():
    assert parse_reasoned("<think>it  is red</think><answer>red</answer>") == ("red", "it is red")
    assert parse_reasoned("<think>a</think> so <answer>red</answer>") == ("red", "a")
    assert parse_reasoned("blue") == ("blue", None)
    assert parse_reasoned("<think>never ends") == ("", "never ends")


def test_an_example_among_detections_is_the_one_that_overlaps_it_or_joins_them():
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    entry = CorpusImage(
        uri="a.png",
        regions=[
            CorpusRegion(box_xyxy=(21, 20, 30, 30), example=True),
            CorpusRegion(box_xyxy=(50, 50, 60, 60), example=True),
            CorpusRegion(box_xyxy=(0, 0, 9, 9)),
        ],
    )
    shown, marked = with_examples(entry, Proposals(boxes, np.array([0.5, 0.6], np.float32)))
    assert marked == [1, 2]
    assert shown.boxes_xyxy.tolist() == [*boxes.tolist(), [50, 50, 60, 60]]
    assert shown.objectness.tolist() == pytest.approx([0.5, 0.6, 1.0])


@pytest.fixture
def answered_row(model, tmp_path):
    gold = picture(tmp_path)
    marked = [gold.regions[0].model_copy(update={"example": True}), *gold.regions[1:]]
    row = label(model, gold.model_copy(update={"regions": marked}), labels="visual_example")
    ids = [region.region_id for region in row.regions]
    row.groundings[0].region_ids = ids[1:3]
    row.answers = [
        Answer(question="What is {region}?", region_id=ids[1], answer="red", reasoning="it glows",
               label=Label(kind=LabelKind.ASK, text="red")),
        Answer(question="How many?", answer="four", label=Label(kind=LabelKind.ASK, text="four")),
    ]  # fmt: skip
    return row


def test_both_are_trained_on_in_the_form_they_are_asked_in(answered_row):
    gold = row_to_gold(answered_row)[0]
    assert gold.examples == [CorpusExample(region_index=0, region_indices=[1, 2])]
    image, entry = open_example(TrainingExample(gold, "oriented"), InputLimits())
    view = make_prompt_view(image.rgb, entry, {}, np.random.default_rng(0), TrainConfig(box_jitter=0))
    indices = list(range(len(view.boxes_xyxy)))
    questions = draw_questions(view.labels, indices, np.random.default_rng(0), 50)
    example = next(question for question in questions if question.kind is LabelKind.VISUAL_EXAMPLE)
    boxes = [region.box_xyxy for region in view.labels.regions]
    expected = {answered_row.regions[index].box_xyxy for index in (1, 2)}
    assert {boxes[position] for position in example.answer_boxes} == expected
    assert boxes[example.subject] == answered_row.regions[0].box_xyxy
    answers = {question.text: question.answer for question in questions if question.kind is LabelKind.ASK}
    position = boxes.index(answered_row.regions[1].box_xyxy)
    assert answers[f"What is <region{position}>?"] == "<think>it glows</think><answer>red</answer>"
    assert answers["How many?"] == "four"
    assert parse_reasoned(answers[f"What is <region{position}>?"]) == ("red", "it glows")


def test_both_are_exported_and_follow_a_moved_region(answered_row):
    turns = dict(image_turns(answered_row))
    assert any(question.startswith("Which boxes show more") for question in turns)
    assert "<think>it glows</think><answer>red</answer>" in turns.values()
    example = answered_row.regions[0].region_id
    fields = {"image_id": answered_row.image_id, "region_id": example, "at": "2026-01-01"}
    moved = Correction(**fields, action="moved", after={"box_xyxy": (1, 1, 50, 50)})
    after = apply_corrections(answered_row, [moved]).row
    assert after.groundings[0].phrase == moved.new_region_id == after.regions[0].region_id
    gone = apply_corrections(answered_row, [Correction(**fields, action="deleted")]).row
    assert gone.groundings == []


def test_gold_lines_carry_answers_and_examples(tmp_path):
    gold = picture(tmp_path)
    line = gold.model_dump(exclude={"uri", "inner"}, exclude_none=True) | {
        "image": gold.uri,
        "answers": [{"question": "What is {region}?", "answer": "a", "region_index": 1}],
        "examples": [{"region_index": 0, "region_indices": [1]}],
    }
    (tmp_path / "g.jsonl").write_text(json.dumps(line) + "\n")
    source = open_source([str(tmp_path / "g.jsonl")])
    assert len(source) == 1
    example = source.at(0)
    assert example.entry.answers == [CorpusAnswer(question="What is {region}?", answer="a", region_index=1)]
    assert example.entry.examples[0].region_indices == [1]
