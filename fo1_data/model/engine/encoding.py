"""Encoding of images in groups whose activations fit in memory."""

from collections.abc import Sequence

from fo1_data.model.engine.memory import is_refused_allocation
from fo1_data.model.modeling import Fo1Model, ImageFeatures
from fo1_data.model.processing import PreparedImage

# On a CPU larger groups gain nothing: their activations leave its caches, and DaViT takes 1.2 times as long.
_MOST_ON_CPU_BYTES = 16 << 20


def groups_within(max_bytes: int, model: Fo1Model, images: Sequence[PreparedImage]) -> list[list[int]]:
    """Indices of images, in groups whose estimated activations take at most `max_bytes` (a CPU: 16 MiB).

    Images of one size, which the towers take together, go into one group where it has room. An image that
    exceeds the limit is alone.
    """
    if model.device.type == "cpu":
        max_bytes = min(max_bytes, _MOST_ON_CPU_BYTES)
    groups: list[list[int]] = []
    num_bytes = 0
    for index in sorted(range(len(images)), key=lambda index: images[index].size):
        image_bytes = _activation_bytes(model, images[index])
        if not groups or num_bytes + image_bytes > max_bytes:
            groups.append([])
            num_bytes = 0
        groups[-1].append(index)
        num_bytes += image_bytes
    return groups


def encode_or_halve(model: Fo1Model, images: list[PreparedImage]) -> list[ImageFeatures]:
    """Encode a group; its halves if it does not fit. Raises MemoryError if one image does not fit."""
    try:
        return model.encode_images(images)
    except RuntimeError as error:
        if not is_refused_allocation(error):
            raise
        if len(images) == 1:
            height, width = images[0].aux_hw
            raise MemoryError(f"an image of {width} x {height} px does not fit on the device") from error
    # Outside of `except`, so that the error no longer holds the failed attempt's tensors.
    middle = len(images) // 2
    return encode_or_halve(model, images[:middle]) + encode_or_halve(model, images[middle:])


def _activation_bytes(model: Fo1Model, image: PreparedImage) -> int:
    """A generous estimate of the bytes that the activations of an image take while it is encoded."""
    config = model.config
    cells = image.aux_hw[0] * image.aux_hw[1] // 16
    patches = image.grid_hw[0] * image.grid_hw[1]
    auxiliary = cells * config.auxiliary.dim_embed[0] * 12
    primary = patches * (config.vision.hidden_size * 10 + config.vision.intermediate_size * 2)
    return 4 * (auxiliary + primary)
