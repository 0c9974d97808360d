"""SAM 3 as a model of videos: what transformers finds in a whole shot, frame by frame, in bounded memory.

A random model finds nothing that means anything: that it runs and equals the stock model is tested with one
that is scaled so that its masks vary, and what becomes of its outputs with made ones.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from random_detectors import write_rt_detr
from safetensors.torch import load_file, save_file
from segmenters import SAM3_SIDE_PX, write_sam3, write_sam3_video
from typer.testing import CliRunner

from fo1_data.boxes import as_boxes, iou_matrix
from fo1_data.cli.main import app
from fo1_data.corpus.video.video import VideoFrame
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.labelling.shot_followers import ModelledThings
from fo1_data.masks import decode_mask, mask_area
from fo1_data.proposals.detectors.forward import LoadedCheckpoint
from fo1_data.proposals.detectors.sam3_video import Sam3Shot, Sam3Video, load_sam3_video
from fo1_data.proposals.load import load_proposer, load_video_boxes
from fo1_data.proposals.proposer import Proposals
from fo1_data.proposals.sought_words import SoughtWords
from fo1_data.runs.in_process import run_in_process
from fo1_data.tracking.shot_tracks import FollowedThing, ShotThings
from fo1_data.tracking.twins import drop_twins
from fo1_data.tracking.views import Views
from schemas.corpus import CorpusImage, CorpusPhrase
from schemas.jobs import RunConfig
from schemas.regions import MaskRle

WH = (64, 48)
NUM_FRAMES = 24


def frame(number: int) -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 60, (WH[1], WH[0], 3)).astype(np.uint8)
    pixels[10:26, number : number + 16] = (230, 20, 20)
    return Image.fromarray(pixels)


FRAMES = [frame(number) for number in range(NUM_FRAMES)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random one whose masks differ from thing to thing and from frame to frame, and whose tracker sees
    what it follows. It takes all that it finds for things, six at most, and drops some within five frames."""
    folder = write_sam3_video(tmp_path_factory.mktemp("sam3") / "video")
    weights = load_file(folder / "model.safetensors")
    for name, tensor in weights.items():
        tensor *= 5 if tensor.ndim > 1 else 1
        tensor += 4 if name.endswith("pred_obj_score_head.proj_out.bias") else 0
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "score_threshold_detection": 0.0, "new_det_thresh": 0.0, "max_num_objects": 6, "det_nms_thresh": 0.0,
        "hotstart_delay": 5, "hotstart_unmatch_thresh": 3, "hotstart_dup_thresh": 3,
        "recondition_every_nth_frame": 4, "high_conf_thresh": 0.0, "high_iou_thresh": 0.1,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def video(checkpoint: Path) -> Sam3Video:
    return load_sam3_video(str(checkpoint), words=SoughtWords(("cat", "dog")))


def look_at(shot: Any, frames: list[Image.Image]) -> list[Proposals]:
    return [found for image in frames for found in shot.look(image)] + shot.finish()


def stock(checkpoint: Path, words: list[str]) -> Iterator[tuple[dict[str, Any], set[int]]]:
    """What transformers gives for each frame of the whole shot, and what it has dropped by then."""
    from transformers import Sam3VideoModel, Sam3VideoProcessor

    model, processor = (kind.from_pretrained(checkpoint) for kind in (Sam3VideoModel, Sam3VideoProcessor))
    session = processor.init_video_session(video=FRAMES)
    processor.add_text_prompt(session, words)
    for outputs in model.eval().propagate_in_video_iterator(session):
        yield processor.postprocess_outputs(session, outputs), outputs.removed_obj_ids


def test_what_comes_frame_by_frame_is_what_the_whole_shot_gives(checkpoint: Path, video: Sam3Video) -> None:
    found = look_at(video.follow(["cat", "dog"]), FRAMES)
    removed: set[int] = set()
    masks = set()
    for ours, (theirs, dropped) in zip(found, stock(checkpoint, ["cat", "dog"]), strict=True):
        numbers = theirs["object_ids"].tolist()
        assert ours.track_ids == [str(number) for number in numbers]
        assert np.array_equal(ours.boxes_xyxy - np.array([0, 0, 1, 1]), theirs["boxes"].numpy())
        assert ours.objectness is not None
        assert np.array_equal(ours.objectness, theirs["scores"].numpy())
        word_of = {
            number: word for word, of_word in theirs["prompt_to_obj_ids"].items() for number in of_word
        }
        assert ours.labels == [word_of[number] for number in numbers]
        for mask, expected in zip(ours.masks or [], theirs["masks"].numpy(), strict=True):
            assert (expected.any() and mask is None) is False
            assert mask is None or np.array_equal(decode_mask(mask), expected)
        removed |= dropped
        masks |= {mask.counts for mask in ours.masks or [] if mask is not None}
    # The comparison is of something: some things are dropped, and masks change from frame to frame.
    assert removed
    assert len(masks) > NUM_FRAMES / 2


def held_bytes(session: Any) -> int:
    """The bytes of all tensors that a session refers to."""
    seen: dict[int, torch.Tensor] = {}
    waiting, visited = [vars(session), vars(session.cache)], set()
    while waiting:
        value = waiting.pop()
        if id(value) in visited:
            continue
        visited.add(id(value))
        if isinstance(value, torch.Tensor):
            seen[id(value)] = value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
    return sum(tensor.nbytes for tensor in seen.values())


def test_memory_does_not_grow_with_a_shots_length(video: Sam3Video) -> None:
    shot = video.follow(["cat"])
    held = []
    for image in FRAMES + FRAMES[::-1]:
        shot.look(image)
        held.append(held_bytes(shot._session))
    # A pointer of a few hundred bytes stays of each frame at which a thing is found again with certainty.
    assert held[-1] - held[NUM_FRAMES] < 64 * 1024
    assert held[NUM_FRAMES] > 64 * 1024


def test_the_words_of_a_video_are_looked_for_and_long_ones_are_cut(video: Sam3Video) -> None:
    long = "a dog " * 20
    words = SoughtWords(("cat",), own_phrases=True)
    entry = CorpusImage(uri="/a.mp4", phrases=[CorpusPhrase(text=long)])
    found = look_at(video.follow(words.of(entry)), FRAMES[:2])
    assert {label for proposals in found for label in proposals.labels or ()} <= {"cat", long.strip()}
    with pytest.raises(ConfigError, match=r"takes 32: shorten it in --vocabulary"):
        load_sam3_video(str(video._loaded.folder), words=SoughtWords((long,)))


def test_images_are_seen_as_by_the_detector_alone(checkpoint: Path) -> None:
    words = SoughtWords(("cat",))
    both, alone = (
        load(str(checkpoint), words=words, score_floor=0.0) for load in (load_video_boxes, load_proposer)
    )
    (first,), (second,) = (boxes.propose([FRAMES[0]], [CorpusImage(uri="/a.png")]) for boxes in (both, alone))
    assert np.allclose(first.boxes_xyxy, second.boxes_xyxy, atol=1e-3)
    assert (both.licence, both.sha256) == (alone.licence, alone.sha256) == ("sam-licence", alone.sha256)


def test_no_two_things_of_a_word_share_a_mask_from_their_first_frame(checkpoint: Path) -> None:
    """transformers itself leaves them in where a package is missing that it does not ask for."""
    most = 0.3
    video = load_sam3_video(str(checkpoint), words=SoughtWords(("cat",)), nms_iou=most)
    model = video._video.model
    shot = video.follow(["cat"])
    shot._session.add_new_frame(torch.rand(1, 3, SAM3_SIDE_PX, SAM3_SIDE_PX), 0)
    with torch.inference_mode():
        seen = model.detector_model.get_vision_features(shot._session.get_frame(0)[None])
        model.det_nms_thresh = 0.0
        (everything,) = model.run_detection(shot._session, seen).values()
        model.det_nms_thresh = most
        (found,) = model.run_detection(shot._session, seen).values()
    masks = (found["mask"] > 0).flatten(1).numpy()
    ious = [
        (one & other).sum() / max(1, (one | other).sum())
        for place, one in enumerate(masks)
        for other in masks[:place]
    ]
    assert all(iou <= most + 1e-6 for iou in ious)
    assert 0 < len(masks) < len(everything["mask"])
    assert found["scores"].max() == everything["scores"].max()


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (write_sam3, "is a sam3 model, which follows nothing through videos: take --tracker bytetrack"),
        (write_rt_detr, "is a rt_detr model, which follows nothing"),
    ],
)
def test_a_detector_without_a_tracker_is_refused(write: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=told) as caught:
        load_video_boxes(str(write(tmp_path / "model")))
    assert "\n" not in str(caught.value)


def write_clip(path: Path) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=10, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = *WH, "rgb24"
        for image in FRAMES[:8]:
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    return path


def test_what_would_fail_in_every_video_is_told_at_load_and_by_the_plan(
    checkpoint: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for file in checkpoint.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in weights.items() if "memory_attention" not in name},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(CheckpointError, match=r"lacks \d+ weights of its model") as caught:
        load_sam3_video(str(folder))
    assert "\n" not in str(caught.value)
    config = json.loads((folder / "config.json").read_text())
    (folder / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes())
    config["tracker_config"]["memory_attention_num_attention_heads"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="can follow nothing in any video") as caught:
        load_sam3_video(str(folder))
    assert "\n" not in str(caught.value)
    clip = write_clip(tmp_path / "clip.mkv")
    options = ["--address", "in-process", "--no-measure", "--json", "--proposals", str(folder)]
    planned = CliRunner().invoke(app, ["plan", str(clip), *options])
    assert (planned.exit_code, json.loads(planned.stdout)["problems"]) == (1, [str(caught.value)])


# --- made outputs


class MadeOutputs:
    """Stands where the model is called: a square that moves by two pixels a frame, and in the first three
    frames a ghost over it, which the model then takes back."""

    hotstart_delay, hotstart_unmatch_thresh, hotstart_dup_thresh = 5, 3, 3
    tracker_model = SimpleNamespace(config=None)

    def __call__(self, inference_session: Any, frame_idx: int) -> Any:
        from transformers.models.sam3_video.modeling_sam3_video import Sam3VideoSegmentationOutput

        inference_session.obj_id_to_prompt_id |= {0: 0, 1: 0}
        square = torch.full((1, WH[1], WH[0]), -10.0)
        square[0, 10:26, 2 * frame_idx : 2 * frame_idx + 16] = 10.0
        masks = {0: square} | ({1: torch.full_like(square, 10.0)} if frame_idx < 3 else {})
        return Sam3VideoSegmentationOutput(
            object_ids=list(masks),
            obj_id_to_mask=masks,
            obj_id_to_score=dict.fromkeys(masks, 0.8),
            obj_id_to_tracker_score={0: 0.7, 1: 0.9},
            removed_obj_ids={1} if frame_idx >= 3 else set(),
            suppressed_obj_ids=set(),
            frame_idx=frame_idx,
        )


def test_a_moving_thing_is_one_track_with_its_mask_in_every_frame(video: Sam3Video) -> None:
    whole = video._video
    made = LoadedCheckpoint("made", whole.folder, MadeOutputs(), whole.processor, whole.device)
    things = ModelledThings(Sam3Shot(made, {"cat": "cat"}), 0.7)
    for number, image in enumerate(FRAMES):
        things.add(VideoFrame(100 + number, number / 10, image))
    found = things.finish()
    (thing,) = found.things
    assert found.num_dropped == 0
    assert thing.frames.tolist() == list(range(100, 100 + NUM_FRAMES))
    expected = [(2 * n, 10, min(2 * n + 16, WH[0]), 26) for n in range(NUM_FRAMES)]
    assert thing.boxes_xyxy.tolist() == [list(map(float, box)) for box in expected]
    assert (thing.label, set(thing.scores.tolist())) == ("cat", {np.float32(0.8).item()})
    assert thing.masks is not None
    areas = [mask_area(mask) for mask in thing.masks if mask is not None]
    assert areas == [16 * (right - left) for left, _, right, _ in expected]


def thing_of(frames: list[int], left: float, label: str, score: float) -> FollowedThing:
    boxes = as_boxes([(left + n, 0, left + n + 20, 20) for n in frames])
    ones = np.ones(len(frames), np.float32)
    return FollowedThing(np.array(frames), boxes, score * ones, Views(ones, ones, ones, ones), label)


def test_a_thing_that_two_words_name_is_kept_once() -> None:
    dog, animal = thing_of([0, 1, 2, 3], 0, "dog", 0.9), thing_of([1, 2, 3], 1, "animal", 0.95)
    cat = thing_of([0, 1, 2], 60, "cat", 0.5)
    found = drop_twins(ShotThings([dog, animal, cat], 2), 0.7)
    assert [thing.label for thing in found.things] == ["dog", "cat"]
    assert found.num_dropped == 5
    # Two things of one word are two: the model has told them apart.
    assert len(drop_twins(ShotThings([dog, thing_of([1, 2, 3], 1, "dog", 0.95)], 0), 0.7).things) == 2
    # They met in one frame of four.
    passing = thing_of([3, 4, 5, 6], 0, "animal", 0.9)
    assert len(drop_twins(ShotThings([dog, passing], 0), 0.7).things) == 2


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(1, 6), st.integers(0, 30), st.sampled_from("ab")), max_size=6
    )
)
def test_twins_are_dropped_whole_and_what_stays_is_apart(made: list[tuple[int, int, int, str]]) -> None:
    things = [thing_of([*range(first, first + n)], left, label, 0.5) for first, n, left, label in made]
    found = drop_twins(ShotThings(things, 0), 0.7)
    assert sum(len(thing.frames) for thing in found.things) + found.num_dropped == sum(
        n for _, n, _, _ in made
    )
    for place, one in enumerate(found.things):
        for other in found.things[:place]:
            common = sorted(set(one.frames.tolist()) & set(other.frames.tolist()))
            at = [[np.flatnonzero(thing.frames == n)[0] for n in common] for thing in (one, other)]
            ious = (
                np.diag(iou_matrix(one.boxes_xyxy[at[0]], other.boxes_xyxy[at[1]])) if common else np.zeros(0)
            )
            shorter = min(len(one.frames), len(other.frames))
            assert one.label == other.label or (ious >= 0.7).sum() < 0.5 * shorter


# --- a whole run


def test_a_run_follows_what_its_checkpoint_follows(checkpoint: Path, tmp_path: Path) -> None:
    config = RunConfig(
        corpus=str(write_clip(tmp_path / "clip.mkv")), out=str(tmp_path / "d"), labels=["brief_caption"],
        proposals=str(checkpoint), vocabulary=["cat"], second_questions=[],
    )  # fmt: skip
    manifest = run_in_process(config)
    assert (manifest.fingerprint_entries or {})["tracker"] == "sam3"
    assert manifest.counts.tracks > 0
    assert validate_dataset(config.out) == []
    rows = list(open_dataset(config.out).rows())
    regions = [region for row in rows for region in row.regions]
    assert {region.source_label for region in regions} == {"cat"}
    assert {row.provenance.licence for row in rows} == {"Apache-2.0; boxes: sam-licence"}
    masks = [region.mask_rle for region in regions if region.mask_rle is not None]
    assert masks
    assert {tuple(MaskRle.model_validate(mask).size) for mask in masks} == {(WH[1], WH[0])}
