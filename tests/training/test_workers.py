"""Several workers make the steps of a single one; each row is read once per epoch; absent phrases."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from factories import make_dataset, make_row
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.dataset.versions.lineage import trace
from fo1_data.dataset.versions.publish import publish
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.run import train
from fo1_data.training.run_log import RunLog
from fo1_data.training.samples.batches import trust_weight
from fo1_data.training.samples.image_labels import ImageLabels
from fo1_data.training.samples.negatives import PhraseBook
from fo1_data.training.samples.open_examples import row_to_example
from fo1_data.training.samples.question_draw import draw_questions
from fo1_data.training.samples.source import ExampleSource, Group, open_source
from fo1_data.training.settings import TrainConfig
from fo1_data.training.workers import Workers
from schemas.corpus import CorpusAnswer, CorpusCount, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.labels import LabelKind, Source

QUICK = TrainConfig(
    steps=2,
    batch_images=3,
    questions_per_image=4,
    warmup_steps=0,
    decay_share=0,
    threads=1,
    device="cpu",
    measured_images=3,
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return str(write_scenes(tmp_path_factory.mktemp("scenes") / "corpus", 4, 70, (3, 4)))


def losses(folder):
    lines = map(json.loads, (folder / "losses.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


@pytest.fixture(scope="module")
def alone(scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone")
    return out, train([scenes], 2, "fo1-tiny", out, QUICK)


WORKER = """
import shutil
import sys
from pathlib import Path
import torch
from torch import distributed
from fo1_data.training import run, run_steps, trainer
from fo1_data.training.settings import TrainConfig
from fo1_data.training.sharding import is_sharded
rank, rendezvous, out, scenes, config = int(sys.argv[1]), *sys.argv[2:]
distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
config = TrainConfig.model_validate_json(config)
trainers = []
class Trainer(trainer.Trainer):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        trainers.append(self)
run_steps.Trainer = Trainer
for sharding in ("optimizer", "weights"):
    for steps in (1, 2):
        part = config.model_copy(update={"steps": steps, "sharding": sharding})
        report = run.train([scenes], 2, "fo1-tiny", Path(out) / sharding, part)
    assert report["workers"] == 2 and report["resumed"]
    assert any(map(is_sharded, trainers[-1].trained.values())) == (sharding == "weights")
for sharding in ("none", "weights"):  # one image per step: the second worker has none
    part = config.model_copy(update={"steps": 1, "sharding": sharding, "batch_images": 1})
    run.train([scenes], 2, "fo1-tiny", Path(out) / f"one-{sharding}", part)
last = trainers[-2]  # without sharding
before = [value.detach().clone() for value in last.trained.values()]
assert last.step([]) == 0 and last.step_number == 2
assert all(torch.equal(value, after) for value, after in zip(before, last.trained.values()))
part = config.model_copy(update={"sharding": "optimizer", "lora_rank": 2, "auxiliary_parts": ()})
seen = []
run.train([scenes], 2, "fo1-tiny", Path(out) / "adapted", part, seen.append)
assert bool(seen) == (rank == 0)  # only the first worker reports
# An image that the second worker alone cannot read: both must measure the same ones, or they wait for ever.
own = Path(out) / f"scenes-{rank}"
shutil.copytree(Path(scenes).parent, own)
if rank == 1:
    sorted(own.rglob("*.png"))[0].unlink()
part = config.model_copy(update={"steps": 1, "sharding": "weights", "batch_images": 1, "measured_images": 4})
run.train([str(own / Path(scenes).name)], 2, "fo1-tiny", Path(out) / "unread", part, seen.append)
# Each worker meets one of the two images that are validated on.
part = config.model_copy(update={"steps": 1, "batch_images": 4, "measured_images": 2})
report = run.train([scenes], 1, "fo1-tiny", Path(out) / "met", part, validation=[scenes])
assert report["left_out"] == 2
stop = lambda: "SIGTERM" if rank == 1 else None
report = run.train([scenes], 2, "fo1-tiny", Path(out) / "stopped", config, stop_requested=stop)
assert (report["steps"], report["stopped"]) == (0, "SIGTERM")  # whichever worker was asked
"""


CHECKING = """
import sys
from pathlib import Path
from torch import distributed
from fo1_data.errors import ConfigError
from fo1_data.training.run import train
from fo1_data.training.settings import TrainConfig
rank, rendezvous, out, scenes, config = int(sys.argv[1]), *sys.argv[2:]
distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
config = TrainConfig.model_validate_json(config)
new, taken = Path(out) / f"new-{rank}", Path(out) / "taken"
try:  # the first worker refuses, where the second would not
    train([scenes], 2, "fo1-tiny", (taken, new)[rank], config)
except ConfigError as error:
    assert "taken is not empty" in str(error)
else:
    raise AssertionError("the second worker goes on alone")
report = train([scenes], 2, "fo1-tiny", (new, taken)[rank], config)  # the second is not asked
assert report["workers"] == 2
"""


@pytest.mark.timeout(200)
def test_the_first_of_two_processes_alone_looks_at_the_folder(scenes, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    config = QUICK.model_copy(update={"steps": 1, "measured_images": 0})
    run_both(CHECKING, tmp_path, scenes, config, 150)
    assert sorted(path.name for path in (tmp_path / "taken").iterdir()) == ["notes.txt"]
    assert (tmp_path / "new-0" / "training.pt").is_file()


def run_both(script, folder, scenes, config, wait_s):
    arguments = [str(folder / "meet"), str(folder), scenes, config.model_dump_json()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(rank), *arguments], env=environment)
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=wait_s) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.timeout(600)
def test_two_processes_have_the_losses_of_a_single_one(scenes, alone, tmp_path):
    """Also with accumulation, gradient checkpointing, sharding, resume and adapters.

    A step for which no worker has an image changes nothing, not even by momentum.
    """
    config = QUICK.model_copy(update={"accumulation": 2, "gradient_checkpointing": True})
    run_both(WORKER, tmp_path, scenes, config, 500)
    whole = torch.load(alone[0] / "training.pt", weights_only=True)
    for sharding in ("optimizer", "weights"):
        assert losses(tmp_path / sharding) == pytest.approx(losses(alone[0]), abs=2e-5), sharding
        state = torch.load(tmp_path / sharding / "training.pt", weights_only=True)
        for name, value in whole["weights"].items():
            assert torch.allclose(value, state["weights"][name], atol=1e-4), (sharding, name)
        assert len(whole["optimiser"]["state"]) == len(state["optimiser"]["state"])
    adapted = QUICK.model_copy(update={"lora_rank": 2, "auxiliary_parts": ()})
    train([scenes], 2, "fo1-tiny", tmp_path / "adapted-alone", adapted)
    assert losses(tmp_path / "adapted") == pytest.approx(losses(tmp_path / "adapted-alone"), abs=2e-5)
    single = QUICK.model_copy(update={"steps": 1, "batch_images": 1})
    train([scenes], 2, "fo1-tiny", tmp_path / "one", single)
    for sharding in ("none", "weights"):
        sharded = losses(tmp_path / f"one-{sharding}")
        assert sharded == pytest.approx(losses(tmp_path / "one"), abs=2e-5), sharding


def test_a_checkpoint_is_traced_to_what_it_was_trained_on(scenes, alone):
    lineage = trace(str(alone[0]), with_images=True)
    assert lineage["num_images"] == 4
    assert lineage["inputs"][0]["corpus"] is True
    assert all(image["uri"].endswith(".png") for image in lineage["images"])


def numbered_source(sizes, seed, window):
    """A source of numbered examples in groups of these sizes; nothing is read."""
    groups = [Group(np.arange(size), lambda size=size: list(range(size)), list, list) for size in sizes]
    return ExampleSource(groups, seed, window)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=6),
    st.integers(0, 5),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_each_row_is_read_once_per_epoch_over_all_workers(sizes, seed, window, num_workers, batch):
    source = numbered_source(sizes, seed, window)
    total = sum(sizes)
    for epoch in range(2):
        order = source.order_of(epoch)
        assert sorted(map(tuple, order.tolist())) == [
            (g, p) for g, size in enumerate(sizes) for p in range(size)
        ]
    seen = []
    for step in range(-(-total // batch)):
        places = range(step * batch, min((step + 1) * batch, total))
        for rank in range(num_workers):
            workers = Workers()
            workers.rank, workers.num = rank, num_workers
            seen += workers.share_of(places)
    assert sorted(seen) == list(range(total))


def test_a_source_reads_published_rows_in_a_fixed_order_and_keeps_few_groups(tmp_path):
    rows = [make_row(seed, folder=tmp_path / "images") for seed in range(9)]
    make_dataset(tmp_path / "d", rows, rows_a_shard=2)
    publish(str(tmp_path / "d"), str(tmp_path / "pub"))
    sources = [open_source([str(tmp_path / name)], seed=3, window_groups=2) for name in ("d", "d", "pub")]
    names = [[source.at(place).entry.uri for place in range(18)] for source in sources]
    assert names[0] == names[1]
    assert sorted(names[0][:9]) == sorted(names[0][9:]) == sorted(row.uri for row in rows)
    assert names[0][:9] != names[0][9:]
    assert len(sources[0]._loaded) <= 3
    assert all(sources[2].at(place).row.image.bytes for place in range(9))
    assert all(example.regions for example in sources[2].entries())


def gold(labels, phrases=()):
    regions = [CorpusRegion(box_xyxy=(0, 0, 9, 9), label=label) for label in labels]
    return CorpusImage(uri="a.png", regions=regions, phrases=list(phrases))


def test_negatives_are_absent_and_near_misses_share_a_word():
    book = PhraseBook([gold(["red square", "blue circle"]), gold(["green bar", "red circle", "teal ring"])])
    image = gold(["red square", "blue circle"], [CorpusPhrase(text="blue square", region_indices=[])])
    rng = np.random.default_rng(0)
    near = {phrase.text for _ in range(50) for phrase in book.draw_absent(image, rng, 3, 1.0)}
    far = {phrase.text for _ in range(50) for phrase in book.draw_absent(image, rng, 1, 0.0)}
    assert {"red square", "blue circle"} & (near | far) == set()
    assert "red circle" in near
    assert far <= {"green bar", "teal ring"}
    assert book.draw_absent(gold(["red square", None]), rng, 3, 0.5) == []


def test_an_absent_phrase_is_written_as_in_the_data():
    book = PhraseBook([gold(["RBC"]), gold(["WBC"]), gold(["wbc"])])
    rng = np.random.default_rng(0)
    assert {phrase.text for _ in range(9) for phrase in book.draw_absent(gold(["rbc"]), rng, 3, 0.5)} == {
        "WBC"
    }


@pytest.mark.parametrize(
    ("present", "candidate", "is_absent"),
    [
        ("dog", "brown dog", False),
        ("brown dog", "dog", False),
        ("a dog", "the brown dogs", False),
        ("red square", "red circle", True),
        ("glass", "wine glass", False),
        ("black dog", "brown dog", True),
    ],
)
def test_a_phrase_that_contains_a_present_name_or_is_contained_in_it_is_not_absent(
    present, candidate, is_absent
):
    book = PhraseBook([gold([candidate])])
    rng = np.random.default_rng(0)
    for image in (gold([present]), gold(["a whale"], [CorpusPhrase(text=present, region_indices=[0])])):
        assert [phrase.text for phrase in book.draw_absent(image, rng, 1, 0.5)] == (
            [candidate] if is_absent else []
        )


def test_nothing_that_any_text_mentions_is_absent():
    book = PhraseBook([gold(["red hat", "dog", "cat", "sky", "moon"])])
    region = CorpusRegion(box_xyxy=(0, 0, 9, 9), caption="man", detailed_caption="a man wearing a red hat")
    image = CorpusImage(
        uri="a.png",
        regions=[region],
        counts=[CorpusCount(text="dogs", count=3), CorpusCount(text="cats", count=0)],
        answers=[CorpusAnswer(question="what is above?", answer="the sky")],
    )
    absent = {phrase.text for phrase in book.draw_absent(image, np.random.default_rng(0), 9, 0.5)}
    assert absent == {"cat", "moon"}


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_absent_phrases_have_the_set_share(share):
    phrases = [CorpusPhrase(text=f"there {n}", region_indices=[0]) for n in range(60)]
    phrases += [CorpusPhrase(text=f"absent {n}", region_indices=[]) for n in range(60)]
    labels = ImageLabels([CorpusRegion(box_xyxy=(0, 0, 1, 1))], phrases)
    drawn = [
        question
        for seed in range(40)
        for question in draw_questions(labels, [0], np.random.default_rng(seed), 30, share)
        if question.kind in (LabelKind.GROUND, LabelKind.COUNT)
    ]
    absent_share = sum(not question.answer_boxes for question in drawn) / len(drawn)
    assert absent_share == pytest.approx(share, abs=0.06)


def test_answers_of_people_weigh_more_and_unsure_ones_less():
    row = make_row(1, num_regions=3)
    row.regions[0].labels[0].source = Source.HUMAN
    row.regions[1].labels[0].confidence = 0.25
    example = row_to_example(row)
    config = TrainConfig(human_weight=3.0)
    weights = [trust_weight(example.trust.get((LabelKind.BRIEF_CAPTION, n, None)), config) for n in range(3)]
    assert weights == [3.0, 0.25, 1.0]
    assert trust_weight(None, config) == 1.0


def test_a_log_is_truncated_to_the_state_it_resumes_from(tmp_path):
    log = tmp_path / "losses.jsonl"
    log.write_text('{"step": 1, "loss": 2}\n{"step": 2, "loss": 1}\n{"step": 3, "lo')
    RunLog(log).truncate(1)
    assert log.read_text() == '{"step": 1, "loss": 2}\n'


def test_a_run_that_is_lost_before_its_first_save_has_one_first_measurement(scenes, tmp_path):
    """A second one would count as a measurement that is no better, and cost patience."""
    train([scenes], 1, "fo1-tiny", tmp_path, QUICK.model_copy(update={"steps": 1}))
    (tmp_path / "training.pt").unlink()
    train([scenes], 1, "fo1-tiny", tmp_path, QUICK.model_copy(update={"steps": 1}))
    lines = map(json.loads, (tmp_path / "losses.jsonl").read_text().splitlines())
    assert [(line["step"], "loss" in line) for line in lines] == [(0, False), (1, True), (1, False)]
