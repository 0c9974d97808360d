"""The arithmetic operations that each part of VLM-FO1 has to do, worked out from its configuration.

A product of an (n, a) and an (a, b) matrix takes 2 n a b operations, a multiplication and an addition each;
norms, activations, rotations, softmax and bilinear weights are not counted, nor the lookup of embeddings
(as in PaLM, arXiv 2204.02311, appendix B). Only what the model needs is counted, whatever its implementation
does besides: a causal token attends to itself and what is before it, not to a whole square, and of a run of
tokens only those that are read go through the last layer's feed-forward part and the output head. Divided
by time and by the device's rate, this is the PaLM paper's model FLOPs utilisation.

Shapes: U = rows x columns patches of an image, C channels of a layer, N cells of a map, R regions, D language
model width.
"""

from itertools import pairwise

from fo1_data.errors import ConfigError
from fo1_data.model.bases.family import TextConfig
from fo1_data.model.bases.qwen2_5_vl import WindowedVisionConfig
from fo1_data.model.configuration import AuxiliaryConfig, Fo1Config


def vit_operations(config: WindowedVisionConfig, grid_hw: tuple[int, int]) -> int:
    """Operations of Qwen2.5-VL's ViT and its merger on a grid of patches.

    A block: 2 U C (4 C + 3 F) for its weights (F inside the gated feed-forward part), and 4 C times the sum
    over its windows of their squared number of patches. Merger: J = 4 C inputs, 2 (U / 4) J (J + D).
    """
    rows, columns = grid_hw
    width, num_patches = config.hidden_size, rows * columns
    patch_values = config.in_channels * config.temporal_patch_size * config.patch_size**2
    side = config.window_size // config.patch_size
    squares_in_windows = _sum_of_squares(rows, side) * _sum_of_squares(columns, side)
    num_full = len(config.fullatt_block_indexes)
    squares = num_full * num_patches**2 + (config.depth - num_full) * squares_in_windows
    weights_of_a_block = width * (4 * width + 3 * config.intermediate_size)
    joined = width * config.spatial_merge_size**2
    num_tokens = num_patches // config.spatial_merge_size**2
    return (
        2 * num_patches * (patch_values * width + config.depth * weights_of_a_block)
        + 4 * width * squares
        + 2 * num_tokens * joined * (joined + config.out_hidden_size)
    )


def _sum_of_squares(length: int, side: int) -> int:
    """The sum of the squared sizes of the pieces, when `length` is cut into pieces of `side` and a rest."""
    return length // side * side**2 + (length % side) ** 2


def windowed(config: Fo1Config) -> WindowedVisionConfig:
    """The settings of the vision tower. Raises ConfigError if it is not Qwen2.5-VL's.

    So a measurement ends before it begins, where it has nothing to compare with.
    """
    vision = config.vision
    if not isinstance(vision, WindowedVisionConfig):
        raise ConfigError(
            "fo1 bench engine compares with transformers' Qwen2.5-VL; the base here is "
            f"{config.base.base_type}"
        )
    return vision


def davit_operations(config: AuxiliaryConfig, image_hw: tuple[int, int]) -> int:
    """Operations of DaViT on an image.

    A stage's convolution: 2 k^2 C_in C N. A block of N cells, each of its two halves: 36 C N for the two
    depthwise 3 x 3 convolutions and 16 C^2 N for the feed-forward part; the spatial half 8 C^2 M + 4 w^2 C M
    on M cells padded to whole windows of side w; the channel half 8 C^2 N + 4 C (C / G) N with G groups.
    """
    total = 0
    for stage, (channels_in, channels) in enumerate(pairwise((3, *config.dim_embed))):
        height, width = image_hw = _map_hw(config, stage, image_hw)
        cells, side = height * width, config.window_size
        padded = (height + -height % side) * (width + -width % side)
        both = 2 * cells * (36 * channels + 16 * channels**2)
        spatial = padded * (8 * channels**2 + 4 * side**2 * channels)
        per_group = channels // config.num_groups[stage]
        channel = cells * (8 * channels**2 + 4 * channels * per_group)
        total += 2 * config.patch_size[stage] ** 2 * channels_in * channels * cells
        total += config.depths[stage] * (both + spatial + channel)
    return total


def _map_hw(config: AuxiliaryConfig, stage: int, image_hw: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the map that a stage's convolution makes."""
    kernel, stride = config.patch_size[stage], config.patch_stride[stage]
    height, width = ((side + 2 * config.patch_padding[stage] - kernel) // stride + 1 for side in image_hw)
    return height, width


def region_operations(
    config: Fo1Config, grid_hw: tuple[int, int], image_hw: tuple[int, int], num_regions: int
) -> int:
    """Operations of the region encoder (HFRE) and both projectors: pyramid, pooling, projections.

    Pyramid: transposed 2 x 2 convolutions double a map, then 1 x 1 and 3 x 3 convolutions give it its
    channels. Pooling a map of H x W cells for R boxes as two products: 2 R C H W + 2 R C W.
    """
    region, width, text_width = config.region, config.vision.hidden_size, config.text.hidden_size
    rows, columns = grid_hw
    total, maps = 0, []
    for stage, channels in enumerate(config.auxiliary.dim_embed):
        image_hw = _map_hw(config.auxiliary, stage, image_hw)
        maps.append((channels, *image_hw))
    if region.use_simple_fpn:
        half, quarter, channels = width // 2, width // 4, region.fpn_channels
        patches = rows * columns
        total += 2 * patches * 4 * (2 * width * half + 4 * half * quarter)
        levels = [(4.0, quarter), (2.0, half), (1.0, width), (0.5, width)]
        for scale, channels_in in levels:
            height_width = int(rows * scale), int(columns * scale)
            total += 2 * height_width[0] * height_width[1] * (channels_in + 9 * channels) * channels
            maps.append((channels, *height_width))
    else:
        maps += [(width, rows, columns)] * config.vision.num_maps
    total += sum(2 * num_regions * channels * (h + 1) * w for channels, h, w in maps)
    num_tokens = rows * columns // config.vision.spatial_merge_size**2
    projections = (
        (region.projector_aux_type, config.region_width, num_regions),
        (region.projector_type, config.vision.out_hidden_size, num_tokens),
    )
    for kind, channels_in, number in projections:
        weights = {"identity": 0, "linear": channels_in * text_width}.get(
            kind, (channels_in + text_width) * text_width
        )
        total += 2 * number * weights
    return total


def encoder_operations(
    config: Fo1Config, grid_hw: tuple[int, int], image_hw: tuple[int, int], num_regions: int
) -> int:
    """Operations of encoding an image with its regions; without regions, the ViT and its projector alone.

    grid_hw: rows and columns of the ViT's patches. image_hw: the auxiliary image in pixels.
    """
    total = vit_operations(windowed(config), grid_hw)
    if num_regions:
        total += davit_operations(config.auxiliary, image_hw)
        total += region_operations(config, grid_hw, image_hw, num_regions)
    return total


def decoder_operations(config: TextConfig, first: int, end: int, num_read: int) -> int:
    """Operations of the language model on the tokens at places `first` to `end` - 1 of a prompt.

    The last `num_read` of them are read: they go through the whole last layer and the output head (2 D V),
    the others through its keys and values only. A layer takes 2 (2 D A E + 2 D K E + 3 D F) for its weights
    (A query heads, K key-value heads, E head width, F inside the feed-forward part), and the token at place
    i 4 A E (i + 1) for its attention.
    """
    width, num_layers = config.hidden_size, config.num_hidden_layers
    queries = config.num_attention_heads * config.head_dim
    keys_values = 2 * width * config.num_key_value_heads * config.head_dim
    others = 2 * width * queries + 3 * width * config.intermediate_size
    num_tokens = end - first
    weights = num_tokens * (num_layers * keys_values + (num_layers - 1) * others)
    weights += num_read * (others + width * config.vocab_size)
    attended = (num_layers - 1) * _attended(first, end) + _attended(end - num_read, end)
    return 2 * weights + 4 * queries * attended


def _attended(first: int, end: int) -> int:
    """The sum of the places to which the tokens at places `first` to `end` - 1 attend."""
    return (end * (end + 1) - first * (first + 1)) // 2


def weights_read_by_step(config: TextConfig) -> int:
    """The number of weights that a decoding step reads: all layers and the output head.

    Of the embedding table only the rows of the tokens are looked up; where it is tied, it is the head.
    """
    width = config.hidden_size
    heads = (2 * config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim
    return (
        config.num_hidden_layers * width * (heads + 3 * config.intermediate_size) + width * config.vocab_size
    )
