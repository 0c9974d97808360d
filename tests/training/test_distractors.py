"""Boxes beside the labelled ones: apart from them, mixed among them, and nothing said becomes false."""

import json

import numpy as np
import pytest

from fo1_data.boxes import as_boxes, iou_matrix
from fo1_data.corpus.images import InputLimits
from fo1_data.errors import CorpusError
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.samples.batches import Batches
from fo1_data.training.samples.distractors import load_distractors, with_distractors
from fo1_data.training.samples.open_examples import MAX_BOXES, open_example, show
from fo1_data.training.samples.questions import region_questions, with_names_as_phrases
from fo1_data.training.samples.source import ExampleSource
from fo1_data.training.settings import TrainConfig
from fo1_data.training.trainer import train

EVERY_IMAGE = TrainConfig(distractor_share=1, box_jitter=0)
NUM_LABELLED = 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Scenes of which only the first three things are labelled."""
    folder = tmp_path_factory.mktemp("half-labelled") / "scenes"
    annotations = write_scenes(folder, count=4, seed=9_100_000)
    entries = [json.loads(line) for line in annotations.read_text("utf-8").splitlines()]
    cut = [
        {
            "image": one["image"],
            "regions": [
                {"box_xyxy": region["box_xyxy"], "caption": region["caption"]}
                for region in one["regions"][:NUM_LABELLED]
            ],
        }
        for one in entries
    ]
    annotations.write_text("\n".join(map(json.dumps, cut)))
    return str(folder)


def shown_with(corpus, config, seed=0):
    """Every image of a corpus as a step shows it, with the entry that it is drawn from."""
    distractors = load_distractors(config)
    source = ExampleSource([corpus])
    for place in range(len(source)):
        example = source.at(place)
        image, entry = open_example(example, InputLimits())
        more = distractors.of(example, image, image.rgb, entry.regions)
        wide = with_distractors(entry, more)
        rng = np.random.default_rng([seed, place])
        yield entry, more, show(image.rgb, wide, {}, rng, config, num_distractors=len(more))


def test_the_things_nobody_labelled_are_shown_among_the_labelled_ones(corpus):
    orders = set()
    for entry, more, shown in shown_with(corpus, EVERY_IMAGE):
        assert more
        overlaps = iou_matrix(
            as_boxes([one.box_xyxy for one in more]), as_boxes([one.box_xyxy for one in entry.regions])
        )
        assert overlaps.max() <= 0.3
        assert len(shown.known.distractors) == len(more)
        orders.add(tuple(sorted(shown.known.distractors)))
        for position, region in enumerate(shown.known.regions):
            np.testing.assert_allclose(shown.boxes_xyxy[position], region.box_xyxy, atol=1e-3)
            assert (position in shown.known.distractors) == (region in more)
    assert any(places[0] < NUM_LABELLED for places in orders)


def test_they_are_asked_for_no_caption_and_no_name_means_them(corpus):
    for _, _, shown in shown_with(corpus, EVERY_IMAGE):
        known = with_names_as_phrases(shown.known)
        labelled = set(range(len(known.regions))) - known.distractors
        assert {one.asked for one in region_questions(known, range(len(known.regions)))} == labelled
        named = [place for phrase in known.phrases for place in phrase.region_indices]
        assert sorted(named) == sorted(labelled)


def test_an_image_has_no_more_boxes_than_the_model_takes_and_all_labelled_ones(corpus):
    distractors = load_distractors(EVERY_IMAGE)
    source = ExampleSource([corpus])
    example = source.at(0)
    image, entry = open_example(example, InputLimits())
    for room in (0, 1):
        crowd = entry.regions[:1] * (MAX_BOXES - room)
        assert len(distractors.of(example, image, image.rgb, crowd)) == room


def test_a_part_of_a_labelled_thing_is_none(corpus, tmp_path):
    source = ExampleSource([corpus])
    lines = []
    for place in range(4):
        x, y, right, bottom = source.at(place).entry.regions[0].box_xyxy
        part = [x, y, x + (right - x) / 3, y + (bottom - y) / 3]
        lines.append({"image": source.at(place).entry.uri.rpartition("/")[2], "boxes": [part]})
    boxes = tmp_path / "parts.jsonl"
    boxes.write_text("\n".join(map(json.dumps, lines)))
    config = EVERY_IMAGE.model_copy(update={"distractor_proposals": str(boxes)})
    assert [more for _, more, _ in shown_with(corpus, config)] == [[]] * 4


def test_a_file_of_boxes_serves_as_well(corpus, tmp_path):
    boxes = tmp_path / "boxes.jsonl"
    lines = [{"image": f"{name}", "boxes": [[0, 0, 9, 9]]} for name in names_of_images(corpus)]
    boxes.write_text("\n".join(map(json.dumps, lines)))
    config = EVERY_IMAGE.model_copy(update={"distractor_proposals": str(boxes)})
    assert [[one.box_xyxy for one in more] for _, more, _ in shown_with(corpus, config)] == [
        [(0, 0, 9, 9)]
    ] * 4


def names_of_images(corpus):
    source = ExampleSource([corpus])
    return [source.at(place).entry.uri.rpartition("/")[2] for place in range(len(source))]


def test_boxes_that_cannot_be_read_end_a_run_before_it_trains(corpus, tmp_path):
    config = TrainConfig(steps=1, distractor_share=0.5, distractor_proposals=str(tmp_path / "none.jsonl"))
    with pytest.raises(CorpusError, match="none.jsonl"):
        train([corpus], 2, "fo1-tiny", tmp_path / "out", config)


def test_a_step_holds_them_and_without_the_setting_nothing_changes(corpus):
    checkpoint = load_checkpoint("fo1-tiny")
    source = ExampleSource([corpus])

    def boxes_of(config):
        batches = Batches(source, checkpoint, config, distractors=load_distractors(config))
        return [len(image.prepared.aux_boxes) for image in batches.of_step(0)]

    assert boxes_of(TrainConfig()) == [NUM_LABELLED] * 4
    assert min(boxes_of(TrainConfig(distractor_share=1))) > NUM_LABELLED
