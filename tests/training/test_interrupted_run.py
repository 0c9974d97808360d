"""What a run says and keeps where it was disturbed: stopped in a measurement, killed, without its best."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fo1_data.errors import CheckpointError, ConfigError, DatasetError, Fo1Error
from fo1_data.model.checksums import write_sums
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.best_kept import load_kept
from fo1_data.training.events import Event, Measured, RunBegun, StepDone
from fo1_data.training.model_card import model_card
from fo1_data.training.run import train
from fo1_data.training.run_folder import load_state, write_settings, write_state
from fo1_data.training.samples.held_out import open_sources
from fo1_data.training.settings import TrainConfig

CONFIG = TrainConfig(
    steps=2, batch_images=1, questions_per_image=4, warmup_steps=0, decay_share=0, validate_every=1,
    measured_images=2, validation_share=0.2, learning_rate=1e-3, threads=1, device="cpu",
)  # fmt: skip
OFTEN = CONFIG.model_copy(update={"save_every": 1})


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_scenes(tmp_path_factory.mktemp("scenes") / "corpus", 12, 70, (3, 4)))


@pytest.fixture(scope="module")
def whole(scenes: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    train([scenes], 1, "fo1-tiny", out, CONFIG)
    return out


def copy_of(run: Path, out: Path) -> Path:
    return Path(shutil.copytree(run, out))


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]


def after(number: int, kind: type[Event]) -> tuple[Callable[[Event], None], Callable[[], str | None]]:
    """Watch a run, and request its stop from the given number of events of a kind on."""
    seen: list[Event] = []

    def watch(event: Event) -> None:
        seen.extend([event] if isinstance(event, kind) else [])

    return watch, lambda: "SIGTERM" if len(seen) >= number else None


def test_a_stop_ends_a_measurement_and_the_resumed_run_makes_it(
    scenes: str, whole: Path, tmp_path: Path
) -> None:
    watch, stop = after(1, StepDone)
    report = train([scenes], 1, "fo1-tiny", tmp_path, CONFIG, watch, stop_requested=stop)
    assert (report["steps"], report["stopped"]) == (1, "SIGTERM")
    assert [line["step"] for line in log_of(tmp_path) if "training" in line] == [0]
    report = train([scenes], 1, "fo1-tiny", tmp_path, CONFIG)
    assert (report["steps"], report["resumed"]) == (2, True)
    assert log_of(tmp_path) == log_of(whole)
    assert (tmp_path / "best/model.safetensors").read_bytes() == (
        whole / "best/model.safetensors"
    ).read_bytes()


def test_a_stop_in_the_first_measurement_comes_before_the_first_step(scenes: str, tmp_path: Path) -> None:
    watch, stop = after(1, RunBegun)
    report = train([scenes], 1, "fo1-tiny", tmp_path, CONFIG, watch, stop_requested=stop)
    assert (report["steps"], report["stopped"], report["best"]) == (0, "SIGTERM", None)
    assert not (tmp_path / "losses.jsonl").exists()


def test_a_best_checkpoint_newer_than_the_state_stays_until_one_is_better(
    scenes: str, whole: Path, tmp_path: Path
) -> None:
    """As after a kill: its steps are made again, but with `--steps 2` not all of them."""
    out, events = copy_of(whole, tmp_path / "out"), list[Event]()
    record = json.loads((out / "best/measured.json").read_text())
    record = {"step": 9, "validation": {**record["validation"], "loss": 1e-6}}
    record["validation"]["accuracy"] = dict.fromkeys(record["validation"]["accuracy"], 1.0)
    (out / "best/measured.json").write_text(json.dumps(record))
    (out / "best/model.safetensors").write_bytes(b"of step 9")
    write_sums(out / "best", ["model.safetensors"])
    report = train([scenes], 1, "fo1-tiny", out, CONFIG.model_copy(update={"steps": 3}), events.append)
    assert [event.is_best for event in events if isinstance(event, Measured)] == [False]
    assert report["best"]["step"] == 9
    assert (out / "best/model.safetensors").read_bytes() == b"of step 9"
    (begun,) = (event for event in events if isinstance(event, RunBegun))
    assert [text for text in begun.warnings if text.startswith("best/ is of step 9")]
    assert "## Figures after step 9" in model_card(out / "best")


def test_a_run_whose_best_checkpoint_was_deleted_ends_well_and_keeps_the_next(
    scenes: str, whole: Path, tmp_path: Path
) -> None:
    out, deleted = tmp_path / "out", list[int]()

    def delete(event: Event) -> None:
        if isinstance(event, Measured) and event.step == 2:
            shutil.rmtree(out / "best")
            deleted.append(event.step)

    report = train([scenes], 1, "fo1-tiny", out, CONFIG, delete)
    assert (report["best"], deleted) == (None, [2])
    report = train([scenes], 1, "fo1-tiny", out, CONFIG.model_copy(update={"steps": 3}))
    assert report["best"]["step"] == 3
    kept = load_kept(out)
    assert kept is not None
    assert kept.step == 3


def test_validation_images_that_cannot_be_read_are_nothing_to_validate_on(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "corpus", 12, 70, (3, 4))
    _, validation = open_sources([str(scenes)], [], CONFIG)
    assert validation is not None
    for place in range(len(validation)):
        (scenes.parent / str(validation.at(place).entry.uri)).write_bytes(b"no image")
    events: list[Event] = []
    once = CONFIG.model_copy(update={"steps": 1})
    report = train([str(scenes)], 1, "fo1-tiny", tmp_path / "out", once, events.append)
    (begun,) = (event for event in events if isinstance(event, RunBegun))
    assert [text for text in begun.warnings if "there is nothing to validate on" in text]
    assert (begun.validation_images, begun.measured_images, report["best"]) == (0, 0, None)
    assert {event.validation for event in events if isinstance(event, Measured)} == {None}
    named = tmp_path / "named.jsonl"
    unread = [validation.at(place).entry for place in range(len(validation))]
    named.write_text("".join(entry.model_dump_json(exclude_defaults=True) + "\n" for entry in unread))
    with pytest.raises(DatasetError, match=r"--validation .*none could be read"):
        train([str(scenes)], 1, "fo1-tiny", tmp_path / "out 2", once, validation=[str(named)])


@pytest.fixture(scope="module")
def longer(scenes: str, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = copy_of(whole, tmp_path_factory.mktemp("runs") / "longer")
    train([scenes], 1, "fo1-tiny", out, CONFIG.model_copy(update={"steps": 3}))
    return out


@pytest.mark.parametrize("file", ["training.json", "lineage.json", "losses.jsonl", "training.pt"])
def test_a_damaged_file_is_named_and_once_deleted_costs_no_weight(
    file: str, scenes: str, whole: Path, longer: Path, tmp_path: Path
) -> None:
    out, config = copy_of(whole, tmp_path / "out"), CONFIG.model_copy(update={"steps": 3})
    content = bytearray((out / file).read_bytes())
    content[len(content) // 3] ^= 0x80
    (out / file).write_bytes(content)
    with pytest.raises(Fo1Error, match=rf"{file} is damaged.*delete it"):
        train([scenes], 1, "fo1-tiny", out, config)
    (out / file).unlink()
    train([scenes], 1, "fo1-tiny", out, config)
    assert (out / "model.safetensors").read_bytes() == (longer / "model.safetensors").read_bytes()


@given(st.data())
def test_a_state_with_changed_bytes_is_refused_or_the_same(data: st.DataObject) -> None:
    state = {"weights": {"a": torch.arange(40.0)}, "step": 7, "met": ["x"]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "training.pt"
        write_state(path, state)
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        try:
            loaded = load_state(path)
        except CheckpointError:
            return
    assert loaded is not None
    assert torch.equal(loaded["weights"].pop("a"), torch.arange(40.0))
    assert loaded == {"weights": {}, "step": 7, "met": ["x"]}


def test_a_state_whose_list_of_files_changed_is_refused_or_the_same(tmp_path: Path) -> None:
    path, weights = tmp_path / "training.pt", torch.arange(40.0)
    write_state(path, {"weights": weights})
    content = path.read_bytes()
    for bit in range(8 * content.index(b"PK\x01\x02"), 8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            loaded = load_state(path)
        except CheckpointError:
            continue
        assert loaded is not None
        assert torch.equal(loaded["weights"], weights), bit


def test_the_learning_rate_of_a_run_without_settings_is_asked_for(
    scenes: str, whole: Path, tmp_path: Path
) -> None:
    out = copy_of(whole, tmp_path / "out")
    (out / "training.json").unlink()
    found = TrainConfig.model_validate(CONFIG.model_dump(exclude={"learning_rate"}, exclude_unset=True))
    with pytest.raises(CheckpointError, match=r"has no training\.json.*give the learning_rate"):
        train([scenes], 1, "fo1-tiny", out, found)


def test_a_resumed_run_is_validated_on_the_same_images(tmp_path: Path) -> None:
    write_settings(tmp_path, 2, CONFIG, False, ["/corpora/a"])
    write_settings(tmp_path, 2, CONFIG, True, ["/corpora/a"])
    for other in (["/corpora/b"], []):
        with pytest.raises(ConfigError, match="was started with validation"):
            write_settings(tmp_path, 2, CONFIG, True, other)


def test_a_byte_that_changed_in_the_best_checkpoint_is_told_when_the_run_goes_on(
    scenes: str, whole: Path, tmp_path: Path
) -> None:
    out, config = copy_of(whole, tmp_path / "out"), CONFIG.model_copy(update={"steps": 3})
    change_a_byte(out / "best/model.safetensors")
    with pytest.raises(CheckpointError, match=rf"^{out}/best is damaged \(model.safetensors .*delete it"):
        train([scenes], 1, "fo1-tiny", out, config)
    shutil.rmtree(out / "best")
    assert train([scenes], 1, "fo1-tiny", out, config)["best"]["step"] == 3


def test_a_model_whose_weights_changed_is_not_trained_on(scenes: str, whole: Path, tmp_path: Path) -> None:
    model = copy_of(whole, tmp_path / "model")
    change_a_byte(model / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model.safetensors is damaged .*SHA256SUMS"):
        train([scenes], 1, str(model), tmp_path / "out", CONFIG)
