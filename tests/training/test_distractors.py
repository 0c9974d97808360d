"""Distractors are apart from labelled boxes, shuffled among them, and keep every label true."""

import json

import numpy as np
import pytest

from fo1_data.boxes import as_boxes, iou_matrix
from fo1_data.corpus.images import InputLimits
from fo1_data.errors import CorpusError
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.run import train
from fo1_data.training.samples.batches import Batches
from fo1_data.training.samples.distractors import load_distractors, with_distractors
from fo1_data.training.samples.image_labels import with_names_as_phrases
from fo1_data.training.samples.open_examples import MAX_BOXES, make_prompt_view, open_example
from fo1_data.training.samples.questions import region_questions
from fo1_data.training.samples.source import open_source
from fo1_data.training.settings import TrainConfig

EVERY_IMAGE = TrainConfig(distractor_share=1, box_jitter=0)
NUM_LABELLED = 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Scenes of which only the first three objects are labelled."""
    folder = tmp_path_factory.mktemp("half-labelled") / "scenes"
    annotations = write_scenes(folder, count=4, seed=9_100_000)
    entries = [json.loads(line) for line in annotations.read_text("utf-8").splitlines()]
    cut = [
        {
            "image": entry["image"],
            "regions": [
                {"box_xyxy": region["box_xyxy"], "caption": region["caption"]}
                for region in entry["regions"][:NUM_LABELLED]
            ],
        }
        for entry in entries
    ]
    annotations.write_text("\n".join(map(json.dumps, cut)))
    return str(folder)


def views_with_distractors(corpus, config, seed=0):
    """For every image of a corpus: its entry, its distractors, and its view in a step."""
    distractors = load_distractors(config)
    source = open_source([corpus])
    for place in range(len(source)):
        example = source.at(place)
        image, entry = open_example(example, InputLimits())
        added = distractors.propose(example, image, image.rgb, entry.regions)
        extended = with_distractors(entry, added)
        rng = np.random.default_rng([seed, place])
        yield entry, added, make_prompt_view(image.rgb, extended, {}, rng, config, num_distractors=len(added))


def test_unlabelled_objects_are_shown_among_the_labelled_ones(corpus):
    orders = set()
    for entry, added, view in views_with_distractors(corpus, EVERY_IMAGE):
        assert added
        overlaps = iou_matrix(
            as_boxes([region.box_xyxy for region in added]),
            as_boxes([region.box_xyxy for region in entry.regions]),
        )
        assert overlaps.max() <= 0.3
        assert len(view.labels.distractors) == len(added)
        orders.add(tuple(sorted(view.labels.distractors)))
        for position, region in enumerate(view.labels.regions):
            np.testing.assert_allclose(view.boxes_xyxy[position], region.box_xyxy, atol=1e-3)
            assert (position in view.labels.distractors) == (region in added)
    assert any(places[0] < NUM_LABELLED for places in orders)


def test_no_caption_is_asked_of_them_and_no_name_means_them(corpus):
    for _, _, view in views_with_distractors(corpus, EVERY_IMAGE):
        labels = with_names_as_phrases(view.labels)
        positions = range(len(labels.regions))
        labelled = set(positions) - labels.distractors
        assert {question.subject for question in region_questions(labels, positions)} == labelled
        named = [position for phrase in labels.phrases for position in phrase.region_indices]
        assert sorted(named) == sorted(labelled)


def test_an_image_has_at_most_as_many_boxes_as_the_model_takes(corpus):
    distractors = load_distractors(EVERY_IMAGE)
    source = open_source([corpus])
    example = source.at(0)
    image, entry = open_example(example, InputLimits())
    for room in (0, 1):
        crowd = entry.regions[:1] * (MAX_BOXES - room)
        assert len(distractors.propose(example, image, image.rgb, crowd)) == room


def test_a_part_of_a_labelled_object_is_no_distractor(corpus, tmp_path):
    source = open_source([corpus])
    lines = []
    for place in range(4):
        x, y, right, bottom = source.at(place).entry.regions[0].box_xyxy
        part = [x, y, x + (right - x) / 3, y + (bottom - y) / 3]
        lines.append({"image": source.at(place).entry.uri.rpartition("/")[2], "boxes": [part]})
    boxes = tmp_path / "parts.jsonl"
    boxes.write_text("\n".join(map(json.dumps, lines)))
    config = EVERY_IMAGE.model_copy(update={"distractor_proposals": str(boxes)})
    assert [added for _, added, _ in views_with_distractors(corpus, config)] == [[]] * 4


def test_a_file_of_boxes_works_too(corpus, tmp_path):
    boxes = tmp_path / "boxes.jsonl"
    lines = [{"image": f"{name}", "boxes": [[0, 0, 9, 9]]} for name in names_of_images(corpus)]
    boxes.write_text("\n".join(map(json.dumps, lines)))
    config = EVERY_IMAGE.model_copy(update={"distractor_proposals": str(boxes)})
    assert [
        [region.box_xyxy for region in added] for _, added, _ in views_with_distractors(corpus, config)
    ] == [[(0, 0, 9, 9)]] * 4


def names_of_images(corpus):
    source = open_source([corpus])
    return [source.at(place).entry.uri.rpartition("/")[2] for place in range(len(source))]


def test_unreadable_boxes_fail_a_run_before_it_trains(corpus, tmp_path):
    config = TrainConfig(steps=1, distractor_share=0.5, distractor_proposals=str(tmp_path / "none.jsonl"))
    with pytest.raises(CorpusError, match="none.jsonl"):
        train([corpus], 2, "fo1-tiny", tmp_path / "out", config)


def test_a_step_contains_them_and_without_the_setting_nothing_changes(corpus):
    checkpoint = load_checkpoint("fo1-tiny")
    source = open_source([corpus])

    def count_boxes(config):
        batches = Batches(source, checkpoint, config, distractors=load_distractors(config))
        return [len(image.prepared.aux_boxes) for image in batches.of_step(0)]

    assert count_boxes(TrainConfig()) == [NUM_LABELLED] * 4
    assert min(count_boxes(TrainConfig(distractor_share=1))) > NUM_LABELLED
