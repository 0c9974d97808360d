"""The model's code on the stand-in device; `test_stand_in_device.py` runs this file in its own process."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from random_checkpoint import write_random_checkpoint
from random_detectors import write_grounding_dino, write_rt_detr
from stand_in_device import DEVICE, Log, MixedDevices, stand_in_device

from fo1_data.labelling.image_labeller import ImageLabeller
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.generation import Generation
from fo1_data.model.engine.questions import OpenImage, Question
from fo1_data.proposals.load import load_proposer
from fo1_data.proposals.sought_words import SoughtWords
from fo1_data.synthetic.gold import gold_of, write_scenes
from fo1_data.synthetic.scenes import make_scene
from fo1_data.training.run import train
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusImage
from schemas.images import ImageRow
from schemas.jobs import RunConfig

ENGINE = "fo1_data/model/engine/"
# Sums in another order, and kernels that PyTorch joins on the CPU alone.
NEAR = 1e-4


@pytest.fixture
def log() -> Iterator[Log]:
    with stand_in_device() as log:
        yield log


def test_devices_do_not_mix(log: Log) -> None:
    on_device = torch.arange(3.0, device=DEVICE)
    with pytest.raises(MixedDevices, match=r"stand_in_checks.py:\d+: \(3,\) on the CPU"):
        on_device + torch.ones(3)
    with pytest.raises(MixedDevices):
        torch.cat([on_device, torch.ones(1)])
    with pytest.raises(MixedDevices):
        torch.ones(3).add_(on_device)
    assert (on_device * torch.tensor(2.0)).tolist() == [0, 2, 4]
    assert [event.kind for event in log] == ["download"]


@pytest.mark.parametrize(
    ("kind", "wait"),
    [
        ("read", lambda tensor: tensor[0].item()),
        ("read", lambda tensor: bool((tensor > 1).any())),
        ("read", lambda tensor: torch.equal(tensor, tensor)),
        ("download", lambda tensor: tensor.cpu()),
        ("download", lambda tensor: tensor.to("cpu", torch.float64)),
        ("download", lambda tensor: torch.zeros(3).copy_(tensor)),
        ("size", lambda tensor: tensor.nonzero()),
        ("size", lambda tensor: tensor[tensor > 1]),
        ("size", lambda tensor: tensor.unique()),
        ("upload", lambda tensor: torch.tensor([1.0], device=tensor.device)),
        ("upload", lambda tensor: tensor.copy_(torch.zeros(3))),
        ("index upload", lambda tensor: tensor[torch.tensor([0, 2])]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("without_autograd", [True, False])
def test_each_synchronisation_is_found_with_its_line(log, kind, wait, without_autograd) -> None:
    with torch.inference_mode(without_autograd):
        tensor = torch.arange(3.0, device=DEVICE)
        wait(tensor)
    (event,) = log
    assert (event.kind, event.waits) == (kind, True)
    assert event.place.startswith("tests/model/stand_in_checks.py:")


def test_a_copy_that_nobody_waits_for_is_no_synchronisation(log: Log) -> None:
    torch.zeros(3).to(DEVICE, non_blocking=True)
    assert [event.kind for event in log] == ["upload"]
    assert log.synchronisations() == []


def test_gradients_are_those_of_the_cpu(log: Log) -> None:
    torch.manual_seed(0)
    layer, values = torch.nn.Linear(4, 3), torch.randn(2, 4)
    layer(values).tanh().sum().backward()
    expected = layer.weight.grad
    assert expected is not None
    layer.zero_grad()
    layer.to(DEVICE)(values.to(DEVICE)).tanh().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.device.type == DEVICE
    assert torch.equal(layer.weight.grad.cpu(), expected)


def picture(seed: int, width: int, height: int, num_boxes: int) -> tuple[Image.Image, np.ndarray]:
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
    corners = draw.uniform(0, 1, (num_boxes, 2, 2)) * [width, height]
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    return Image.fromarray(pixels), boxes


PICTURES = [picture(0, 96, 64, 3), picture(1, 60, 120, 1), picture(2, 96, 64, 105), picture(3, 84, 84, 0)]


def ask_everything(engine: Fo1Engine) -> list[Generation]:
    """Questions of all forms: several a picture, in another chunk, textual, forced, hidden, watched."""
    opened = engine.open([*PICTURES, (None, np.zeros((0, 4), np.float32))])
    tokenizer = engine.checkpoint.tokenizer
    region = tokenizer.special.objects_open, *tokenizer.special.regions[:2]
    return engine.ask(
        [
            *(Question(image, text, max_new_tokens=9) for image in opened for text in ("Why?", "Where?")),
            Question(opened[2], "Which <region2>?", chunk=1, max_new_tokens=7),
            Question(opened[0], "Which?", forced_ids=region, max_new_tokens=3),
            Question(opened[0], "Which?", forced_ids=region, max_new_tokens=8),
            Question(opened[0], "Which?", forced_ids=region, max_new_tokens=8, hidden_regions=(1,)),
            Question(opened[1], "Is it there?", max_new_tokens=1, watched_ids=tokenizer.special.regions[:3]),
        ]
    )


@pytest.mark.parametrize("num_slots", [3, 64])
def test_the_engine_answers_as_on_the_cpu(log: Log, random_folder: Path, num_slots: int) -> None:
    on_device, on_cpu = (
        ask_everything(Fo1Engine(load_checkpoint(str(random_folder), device=device), num_slots=num_slots))
        for device in (DEVICE, "cpu")
    )
    for actual, expected in zip(on_device, on_cpu, strict=True):
        assert actual.token_ids == expected.token_ids
        for name in ("logprobs", "margins", "entropies", "watched_logprobs"):
            assert getattr(actual, name) == pytest.approx(getattr(expected, name), abs=NEAR), name
        assert [step.chosen for step in actual.region_steps] == [s.chosen for s in expected.region_steps]
    assert any(answer.region_steps for answer in on_device)


def ask_for(engine: Fo1Engine, opened: list[OpenImage], num_steps: int) -> None:
    """Two questions about each image, with so many decoding steps after the first choice."""
    tokenizer = engine.checkpoint.tokenizer
    forced_ids = tokenizer.special.objects_open, tokenizer.special.regions[0]
    answers = engine.ask(
        [
            Question(image, text, max_new_tokens=num_steps + 3, forced_ids=forced_ids)
            for image in opened
            for text in "ab"
        ]
    )
    assert all(len(answer.token_ids) == num_steps + 3 for answer in answers)


def test_the_host_waits_for_the_device_once_in_eight_decoding_steps(log: Log, random_folder: Path) -> None:
    engine = Fo1Engine(load_checkpoint(str(random_folder), device=DEVICE))
    opened = engine.open(PICTURES[:2])

    def events(num_steps: int) -> list[str]:
        log.clear()
        ask_for(engine, opened, num_steps)
        return log.synchronisations()

    _, one, eight, nine, twenty_four = (Counter(events(steps)) for steps in (1, 1, 8, 9, 24))
    assert one == eight
    assert sum((nine - eight).values()) == 1
    repeated = twenty_four - eight
    assert sum(repeated.values()) == 2, f"16 steps more wait more than twice: {dict(repeated)}"
    (line,) = repeated
    assert line.startswith(f"download aten::_to_copy {ENGINE}decoding.py")
    uploads = [event for event in log if event.kind == "upload" and not event.waits]
    assert len({event.place for event in uploads}) < len(uploads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_of_a_decoding_step_takes_at_most_25_kernels(
    log: Log, tmp_path: Path, dtype: torch.dtype
) -> None:
    """Counted as operations on the device that are no views, in 8 steps of 4 layers less those of 2."""

    def kernels(num_layers: int) -> Counter[str]:
        folder = write_random_checkpoint(tmp_path / str(num_layers), num_hidden_layers=num_layers)
        engine = Fo1Engine(load_checkpoint(str(folder), device=DEVICE, dtype=dtype))
        opened = engine.open(PICTURES[:1])
        ask_for(engine, opened, 8)
        log.kernels.clear()
        ask_for(engine, opened, 8)
        eight = log.kernels.copy()
        log.kernels.clear()
        ask_for(engine, opened, 16)
        return log.kernels - eight

    of_two_layers = kernels(4) - kernels(2)
    num_kernels = sum(of_two_layers.values()) / 8 / 2
    assert 15 <= num_kernels <= 25, of_two_layers


def scene(folder: Path, seed: int) -> CorpusImage:
    made = make_scene(seed, (2, 4), corruption=0.5)
    path = folder / f"{seed}.png"
    made.image.save(path)
    gold = gold_of(made, str(path))
    regions = [r.model_copy(update={"example": i == 0}) for i, r in enumerate(gold.regions or [])]
    return gold.model_copy(update={"regions": regions})


def label(folder: Path, device: str, **settings: object) -> list[ImageRow]:
    config = {
        "corpus": "scenes",
        "out": "unused",
        "device": device,
        "dtype": "float32",
        "vocabulary": "circle",
        "max_new_tokens": 12,
        **settings,
    }
    rows, rejects = ImageLabeller(RunConfig.model_validate(config)).label_entries(
        [scene(folder, seed) for seed in (70, 71)]
    )
    assert rejects == []
    return rows


def without_signals(row: ImageRow) -> object:
    """A row but for the numbers that may differ in their last digits and the time."""
    plain = row.model_copy(deep=True)
    for label in plain.all_labels():
        label.signals = []
    for region in plain.regions:
        region.objectness = None
    return plain.model_dump(exclude={"provenance": {"labelled_at"}})


def signals(row: ImageRow) -> dict[tuple[int, str], float]:
    return {(i, s.name): s.value for i, label in enumerate(row.all_labels()) for s in label.signals}


@pytest.mark.parametrize(
    ("labels", "proposals", "more"),
    [
        ("brief_caption,detailed_caption,ocr,visual_example", "corpus", {}),
        ("grounded_caption,detect,ground,count", "corpus", {}),
        ("ask", "fo1-tiny", {"question": "What colour is {region}?"}),
    ],
)
def test_every_kind_of_label_and_second_questions_are_those_of_the_cpu(
    log: Log, tmp_path: Path, labels: str, proposals: str, more: dict[str, object]
) -> None:
    every = {
        "labels": labels,
        "proposals": proposals,
        "second_questions": "ask_back,absence,blind",
        "unsure_below": 1.0,
        **more,
    }
    for actual, expected in zip(
        label(tmp_path, DEVICE, **every), label(tmp_path, "cpu", **every), strict=True
    ):
        assert without_signals(actual) == without_signals(expected)
        assert signals(actual) == pytest.approx(signals(expected), abs=NEAR)
    assert log


@pytest.mark.parametrize("write", [write_rt_detr, write_grounding_dino, None])
def test_detectors_propose_as_on_the_cpu(log: Log, tmp_path: Path, write) -> None:
    name = "fo1-tiny" if write is None else str(write(tmp_path / "detector"))
    images = [make_scene(seed).image for seed in (1, 2)]
    entries = [CorpusImage(uri=f"/{index}.png") for index in range(2)]
    on_device, on_cpu = (
        load_proposer(name, device=device, score_floor=0.0, words=SoughtWords(("cat",))).propose(
            images, entries
        )
        for device in (torch.device(DEVICE), torch.device("cpu"))
    )
    for actual, expected in zip(on_device, on_cpu, strict=True):
        assert len(actual.boxes_xyxy)
        assert actual.boxes_xyxy == pytest.approx(expected.boxes_xyxy, abs=1e-2)
        assert actual.objectness == pytest.approx(expected.objectness, abs=NEAR)


@pytest.mark.parametrize(
    "settings",
    [{"stage": 1, "measured_images": 2}, {"stage": 2, "gradient_checkpointing": True, "measured_images": 0}],
    ids=["stage 1", "stage 2, recomputing"],
)
def test_training_steps_are_those_of_the_cpu(
    log: Log, tmp_path: Path, random_folder: Path, settings: dict[str, object]
) -> None:
    scenes = str(write_scenes(tmp_path / "scenes", 3, 70, (3, 4)))
    stage = settings.pop("stage")
    losses = {}
    for device in (DEVICE, "cpu"):
        config = TrainConfig(
            steps=2, batch_images=2, questions_per_image=3, warmup_steps=0, decay_share=0, threads=1,
            device=device, **settings,
        )  # fmt: skip
        train([scenes], stage, str(random_folder), tmp_path / device, config)
        lines = (tmp_path / device / "losses.jsonl").read_text().splitlines()
        losses[device] = [line["loss"] for line in map(json.loads, lines) if "loss" in line]
    assert losses[DEVICE] == pytest.approx(losses["cpu"], rel=1e-4)
