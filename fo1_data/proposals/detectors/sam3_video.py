"""SAM 3 with its tracker: finds what words name, and follows each thing through a shot, with a mask a frame.

Frames are given one by one, in order. What comes out is what transformers gives for the whole shot at once:
a thing that proves to be an accident or a twin within the model's first frames of it is in none of them,
so that boxes are told some frames later. Of frames that were looked at, only what the model is told of them
later is kept, so that memory grows with the things of a shot, not with its length.
"""

import logging
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import Sam3Processor, Sam3VideoModel, Sam3VideoProcessor
from transformers.models.sam3_video.modeling_sam3_video import Sam3VideoInferenceSession

from fo1_data.boxes import as_boxes
from fo1_data.errors import CheckpointError, Fo1Error
from fo1_data.masks import encode_mask
from fo1_data.model.licences import licence_of
from fo1_data.proposals.detectors.forward import LoadedCheckpoint
from fo1_data.proposals.detectors.loading import load_parts, weights_sha256
from fo1_data.proposals.detectors.probe import probe, probe_picture, reason_of
from fo1_data.proposals.detectors.prompts import cut_to_fit
from fo1_data.proposals.detectors.sam3 import Sam3Detector
from fo1_data.proposals.identity import SAM3_VIDEO, find_detector, model_type_of
from fo1_data.proposals.proposer import Proposals
from fo1_data.proposals.sought_words import SoughtWords

# It warns of a package for what is done here, and of the limit that the probe sets.
logging.getLogger(Sam3VideoModel.__module__).setLevel(logging.ERROR)
# What the tracker reads of an earlier frame; the rest of what a session holds of it is large.
_MEMORY = ("maskmem_features", "maskmem_pos_enc")
_POINTER = "object_pointer"


def load_sam3_video(
    spec: str,
    *,
    device: Any = None,
    words: SoughtWords | None = None,
    score_floor: float | None = None,
    nms_iou: float | None = None,
) -> "Sam3Video":
    """SAM 3 with its tracker at a folder or hub id, tried on an image and on two frames.

    score_floor: least score of a thing's first box. nms_iou: how much the masks of two things of one word may
    overlap. None: the checkpoint's own. Raises CheckpointError, or ConfigError for words that it does not
    take, with a message of one line.
    """
    words = words or SoughtWords()
    folder = find_detector(spec)
    model_type = model_type_of(spec)
    if model_type != SAM3_VIDEO:
        raise CheckpointError(
            f"{spec} is a {model_type} model, which follows nothing through videos: "
            "take --tracker bytetrack, or a checkpoint of SAM 3 with its tracker"
        )
    try:
        loaded = load_parts(spec, folder, _Model, Sam3VideoProcessor, torch.device(device or "cpu"))
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise CheckpointError(f"{spec} does not load as a model of videos: {reason_of(error)}") from error
    if score_floor is not None:
        loaded.model.new_det_thresh = score_floor
        loaded.model.score_threshold_detection = min(score_floor, loaded.model.score_threshold_detection)
    if nms_iou is not None:
        loaded.model.det_nms_thresh = nms_iou
    sha256 = weights_sha256(folder, list(words.of_a_probe()))
    detector = Sam3Video(loaded, sha256, licence_of(folder))
    probe(spec, detector, words)
    _probe_following(loaded, words)
    return detector


class Sam3Video(Sam3Detector):
    """A loaded SAM 3 with its tracker; a detector of images too."""

    def __init__(self, loaded: LoadedCheckpoint, sha256: str, licence: str | None) -> None:
        parts = loaded.processor
        images = Sam3Processor(parts.image_processor, parts.tokenizer)
        super().__init__(
            replace(loaded, model=loaded.model.detector_model, processor=images), sha256, licence
        )
        self._video = loaded

    def follow(self, words: Sequence[str]) -> "Sam3Shot":
        """Begin with a shot, in which these words are looked for."""
        fitting = {cut_to_fit(word, self._count_tokens, self._most_tokens): word for word in words}
        return Sam3Shot(self._video, fitting)


class Sam3Shot:
    """A shot that is followed. words: by the text that the model is given for each."""

    def __init__(self, loaded: LoadedCheckpoint, words: dict[str, str]) -> None:
        self._model, self._processor, self._device = loaded.model, loaded.processor, loaded.device
        self._words = words
        self._session = _Session(
            inference_device=loaded.device,
            inference_state_device=loaded.device,
            video_storage_device=loaded.device,
            dtype=torch.float32,
        )
        self._processor.add_text_prompt(self._session, list(words))
        self._num_frames = 0
        self._unsettled: deque[tuple[Any, list[int]]] = deque()

    @torch.inference_mode()
    def look(self, image: Image.Image) -> list[Proposals]:
        """Take the next frame; the boxes of the frame that is settled by it, if there is one."""
        inputs = self._processor(images=[image], return_tensors="pt")
        self._session.add_new_frame(inputs["pixel_values"], self._num_frames)
        outputs = self._model(inference_session=self._session, frame_idx=self._num_frames)
        self._session.hotstart_removed_obj_ids |= outputs.removed_obj_ids
        self._session.forget(self._model, self._num_frames)
        self._num_frames += 1
        self._unsettled.append((outputs, [image.height, image.width]))
        return [self._settle()] if len(self._unsettled) >= self._model.hotstart_delay else []

    @torch.inference_mode()
    def finish(self) -> list[Proposals]:
        """The boxes of the other frames, in order."""
        return [self._settle() for _ in range(len(self._unsettled))]

    def _settle(self) -> Proposals:
        outputs, image_hw = self._unsettled.popleft()
        found = self._processor.postprocess_outputs(self._session, outputs, original_sizes=[image_hw])
        numbers = found["object_ids"].tolist()
        words = {
            number: self._words[text]
            for text, of_text in found["prompt_to_obj_ids"].items()
            for number in of_text
        }
        # It names the last pixel of a mask on the right and below; ours are edges.
        boxes = as_boxes(found["boxes"].cpu().numpy()) + np.array([0, 0, 1, 1], np.float32)
        return Proposals(
            boxes,
            found["scores"].cpu().numpy().astype(np.float32),
            None,
            [words[number] for number in numbers],
            [encode_mask(mask) if mask.any() else None for mask in found["masks"].cpu().numpy()],
            [str(number) for number in numbers],
        )


class _Session(Sam3VideoInferenceSession):
    """What the model knows of a shot that is streamed."""

    @property
    def num_frames(self) -> int:
        """More than the model looks back: how long the shot will be is not known."""
        return sys.maxsize

    def forget(self, model: Any, frame: int) -> None:
        """Drop what the model is told of the frames up to this one no more."""
        self.processed_frames = {}
        self.suppressed_obj_ids.clear()
        self.obj_id_to_tracker_score_frame_wise.clear()
        for of_thing in (*self.mask_inputs_per_obj.values(), *self.frames_tracked_per_obj.values()):
            of_thing.clear()
        for frames in self.unmatched_frame_inds.values():
            del frames[: -model.hotstart_unmatch_thresh]
        for frames in self.overlap_pair_to_frame_inds.values():
            del frames[: -model.hotstart_dup_thresh]
        for outputs in self.output_dict_per_obj.values():
            _forget_outputs(outputs, frame, model.tracker_model.config)


def _forget_outputs(outputs: dict[str, dict[int, dict[str, Any]]], frame: int, config: Any) -> None:
    """Keep of a thing's frames the memories and pointers that the frame after `frame` is told."""
    given, tracked = outputs["cond_frame_outputs"], outputs["non_cond_frame_outputs"]
    recent = frame + 2 - config.num_maskmem
    most_given = config.max_cond_frame_num
    nearest = set(given) if most_given == -1 else set(sorted(given)[-most_given:])
    for number, output in given.items():
        has_memory = number in nearest or number >= recent
        given[number] = _parts(output, (*_MEMORY, _POINTER) if has_memory else (_POINTER,))
    for number, output in list(tracked.items()):
        if number < frame + 2 - max(config.num_maskmem, config.max_object_pointers_in_encoder):
            del tracked[number]
        else:
            tracked[number] = _parts(output, (*_MEMORY, _POINTER) if number >= recent else (_POINTER,))


def _parts(output: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: output[name] for name in names if name in output}


class _Model(Sam3VideoModel):
    """Leaves out twins among what a word finds in a frame.

    transformers does it only where the package `kernels` is installed, which fetches code from the hub.
    """

    def run_detection(self, inference_session: Any, vision_embeds: Any) -> dict[int, dict[str, torch.Tensor]]:
        found = super().run_detection(inference_session, vision_embeds)
        if self.det_nms_thresh <= 0:
            return found
        return {prompt: _without_twins(of_prompt, self.det_nms_thresh) for prompt, of_prompt in found.items()}


def _without_twins(found: dict[str, torch.Tensor], most_iou: float) -> dict[str, torch.Tensor]:
    """What a word finds (`mask` (N, h, w) as logits, `scores` (N,), `bbox` (N, 4)) without the weaker ones of
    those whose masks overlap by more."""
    masks = (found["mask"] > 0).flatten(1).float()
    shared, areas = masks @ masks.T, masks.sum(1)
    overlaps = (shared / (areas[:, None] + areas[None, :] - shared).clamp(min=1) > most_iou).cpu()
    kept: list[int] = []
    for place in found["scores"].argsort(descending=True, stable=True).tolist():
        if not overlaps[place, kept].any():
            kept.append(place)
    places = torch.tensor(sorted(kept), dtype=torch.long, device=masks.device)
    return {name: values[places] for name, values in found.items()}


def _probe_following(loaded: LoadedCheckpoint, words: SoughtWords) -> None:
    """Raise CheckpointError, with a message of one line, if nothing can be followed through two frames."""
    model = loaded.model
    names = ("new_det_thresh", "score_threshold_detection", "max_num_objects")
    own = {name: getattr(model, name) for name in names}
    try:
        # One thing, whatever it is, so that the tracker has work.
        model.new_det_thresh, model.score_threshold_detection, model.max_num_objects = 0.0, 0.0, 1
        shot = Sam3Shot(loaded, {word: word for word in words.of_a_probe()[:1]})
        for _ in range(2):
            shot.look(probe_picture())
        shot.finish()
    except Fo1Error:
        raise
    except Exception as error:
        raise CheckpointError(f"{loaded.spec} can follow nothing in any video: {reason_of(error)}") from error
    finally:
        for name, value in own.items():
            setattr(model, name, value)
