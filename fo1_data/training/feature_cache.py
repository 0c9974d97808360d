"""Features of the frozen towers, kept on disk: an image is decoded and encoded once for all epochs and runs.

A file is named by the image's content and lies in a folder named by the weights and settings that made it, so
a run that continues another one, or a round of a loop, finds it again. When the cache or its disk is full, or
its folder cannot be written, further images are encoded anew each time: an epoch would push out what the next
one needs first. Other runs may use and clear the same folder meanwhile.
"""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from fo1_data.corpus.images import DecodedImage
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.frozen_towers import FrozenFeatures
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.node_cache import cache_root
from fo1_data.model.processing import NormalisedPixels, PreparedImage, ResizedImage

_FOLDER = "features"
# Changes with what is written, or with how images are prepared.
_LAYOUT = 2
_SUFFIX = ".safetensors"
# A run claims the room it fills in so many parts.
_CLAIMS = 16


@dataclass(frozen=True)
class ImageShape:
    """The sizes of an image: upright (`width`, `height`), as stored, and in both towers."""

    width: int
    height: int
    orientation: int
    stored_wh: tuple[int, int]
    grid_hw: tuple[int, int]
    aux_hw: tuple[int, int]
    scale_xy: tuple[float, float]

    @classmethod
    def of(cls, image: DecodedImage, prepared: PreparedImage) -> "ImageShape":
        """The sizes of a decoded image and of what the processor made of it."""
        resized = prepared.resized
        return cls(
            image.width,
            image.height,
            image.orientation,
            image.stored_wh,
            prepared.grid_hw,
            prepared.aux_hw,
            resized.scale_xy,
        )

    def blank(self, image_id: str) -> DecodedImage:
        """The image without its pixels: all are black."""
        rgb = Image.new("RGB", (self.width, self.height))
        return DecodedImage(image_id, rgb, self.width, self.height, self.orientation, self.stored_wh)

    def resized(self) -> ResizedImage:
        """As the processor gives it, but without pixels: all are 0, in no memory."""
        table = np.zeros((3, 256), dtype=np.float32)
        patches = np.broadcast_to(np.uint8(0), (3, 0, 0))
        auxiliary = np.broadcast_to(np.uint8(0), (3, *self.aux_hw))
        return ResizedImage(
            NormalisedPixels(patches, table),
            1,
            self.grid_hw,
            NormalisedPixels(auxiliary, table),
            self.scale_xy,
        )


@dataclass(frozen=True)
class CachedImage:
    """An image without its pixels."""

    shape: ImageShape
    features: FrozenFeatures


class FeatureCache:
    """The features of one set of frozen weights. `max_bytes`: of the features of all sets together.

    Never ends a run: what cannot be read or written is not there.
    """

    def __init__(
        self, checkpoint: Checkpoint, num_stages: int, max_bytes: int, root: Path | None = None
    ) -> None:
        self.num_stages = num_stages
        root = (root or cache_root()) / _FOLDER
        self._folder = root / _key(checkpoint, num_stages)
        self._max_bytes, self._root = max_bytes, root
        self._room, self._is_full = 0, False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            os.utime(self._folder)
            _make_room(root, self._folder, max_bytes)
        except OSError:
            self._is_full = True

    def find(self, image_id: str) -> CachedImage | None:
        """The features of an image, if they are there and whole; damaged ones make room for new ones."""
        path = self._path(image_id)
        try:
            with safe_open(path, framework="pt") as file:
                names = sorted(file.keys())
                tensors = {name: file.get_tensor(name) for name in names}
                metadata = file.metadata()
            if metadata["checksum"] != _checksum(tensors, metadata["shape"]):
                raise ValueError("changed since it was written")
            shape = _parse_shape(metadata["shape"])
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            with suppress(OSError):
                path.unlink()
            return None
        maps, levels = (
            [tensors[name] for name in names if name.startswith(part)] for part in ("map", "level")
        )
        return CachedImage(shape, FrozenFeatures(tensors["image"], maps, levels, tensors.get("deep")))

    def keep(self, image_id: str, image: CachedImage) -> None:
        """Keep the features of an image if there is room, until a write fails."""
        if self._is_full:
            return
        try:
            if self._path(image_id).exists():
                return
            self._is_full = not self._has_room(image.features.num_bytes)
            if not self._is_full:
                self._write(self._path(image_id), image)
        except (OSError, SafetensorError):
            self._is_full = True

    def _has_room(self, num_bytes: int) -> bool:
        """Whether so many bytes fit; room is claimed in parts, because other workers and runs fill it too."""
        if num_bytes > self._room:
            left = self._max_bytes - sum(map(_size_of, _folders(self._root)))
            self._room = min(left, max(num_bytes, self._max_bytes // _CLAIMS))
        return num_bytes <= self._room

    def _write(self, path: Path, image: CachedImage) -> None:
        features = image.features
        tensors = {"image": features.image_embeds}
        tensors |= {f"map{number}": tensor for number, tensor in enumerate(features.maps)}
        tensors |= {f"level{number}": tensor for number, tensor in enumerate(features.levels)}
        if features.deep_GTD is not None:
            tensors["deep"] = features.deep_GTD
        whole = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        path.parent.mkdir(exist_ok=True)  # another run may have deleted it to make room
        try:
            shape = json.dumps(asdict(image.shape))
            save_file(whole, partial, metadata={"shape": shape, "checksum": _checksum(whole, shape)})
            partial.replace(path)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        self._room -= features.num_bytes

    def _path(self, image_id: str) -> Path:
        return self._folder / f"{image_id}{_SUFFIX}"


def num_frozen_stages(trained: Iterable[str], num_stages: int) -> int:
    """How many of DaViT's first stages have no trained weight; 0 if the base's tower has one."""
    names = list(trained)
    if any(name.startswith("vision_tower.") for name in names):
        return 0
    stages = [int(name.split(".")[2]) for name in names if name.startswith("vision_tower_aux.")]
    return min(stages, default=num_stages)


def _key(checkpoint: Checkpoint, num_stages: int) -> str:
    """A hash of all that decides the features besides the image."""
    digest = hashlib.sha256(f"{_LAYOUT} {num_stages} {checkpoint.model.dtype}".encode())
    for name in ("config.json", "preprocessor_config.json"):
        path = checkpoint.folder / name
        digest.update(path.read_bytes() if path.is_file() else b"")
    parts = (checkpoint.model.vision_tower, *_stages(checkpoint.model, num_stages))
    for part in parts:
        for weight in part.state_dict().values():
            digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


def _stages(model: Fo1Model, num_stages: int) -> list[nn.Module]:
    davit = model.vision_tower_aux
    return [*davit.convs[:num_stages], *davit.blocks[:num_stages]]


def _make_room(root: Path, kept: Path, max_bytes: int) -> None:
    """Delete features of other weights, those used the longest ago first, until all fit."""
    sizes = {folder: _size_of(folder) for folder in sorted(_folders(root), key=_used_s)}
    for folder in list(sizes):
        if sum(sizes.values()) > max_bytes and folder != kept:
            shutil.rmtree(folder, ignore_errors=True)
            del sizes[folder]


def _folders(root: Path) -> list[Path]:
    return [folder for folder in root.iterdir() if folder.is_dir()]


def _size_of(folder: Path) -> int:
    """The bytes of a folder's files; other runs may delete them meanwhile."""
    total = 0
    with suppress(FileNotFoundError), os.scandir(folder) as files:
        for file in files:
            with suppress(FileNotFoundError):
                total += file.stat().st_size
    return total


def _used_s(folder: Path) -> float:
    """When a run last began with the features of a folder, in seconds since 1970."""
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _checksum(tensors: Mapping[str, torch.Tensor], shape: str) -> str:
    """CRC-32 of all that a file holds: safetensors has none of its own."""
    checksum = zlib.crc32(shape.encode())
    for name, tensor in sorted(tensors.items()):
        checksum = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), checksum)
        checksum = zlib.crc32(tensor.view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"


def _parse_shape(text: str) -> ImageShape:
    fields: dict[str, Any] = json.loads(text)
    pairs = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return ImageShape(**{**fields, **pairs})
