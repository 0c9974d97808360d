"""The auxiliary vision tower: DaViT (Ding et al., arXiv 2204.03645), as Florence-2 uses it.

A block attends twice: within windows of tokens (spatial), then between channels over all tokens (channel).

Shapes: B images of one size, C channels, H x W cells of a map, N tokens = H * W, w side of a window, G groups
or heads, E channels of each.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import gelu, pad, scaled_dot_product_attention, softmax

from fo1_data.model.configuration import AuxiliaryConfig
from fo1_data.model.layers import initialise

_IN_CHANNELS = 3
_INNER_RATIO = 4


class DaViT(nn.Module):
    """Four stages, each a strided convolution and blocks; the names of the weights are Florence-2's."""

    def __init__(self, config: AuxiliaryConfig) -> None:
        super().__init__()
        widths = [_IN_CHANNELS, *config.dim_embed]
        self.convs = nn.ModuleList(
            [_Downsampling(*channels, stage, config) for stage, channels in enumerate(pairwise(widths))]
        )
        self.blocks = nn.ModuleList(
            [
                nn.ModuleList([_Block(config, stage) for _ in range(depth)])
                for stage, depth in enumerate(config.depths)
            ]
        )
        self.apply(initialise)

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """The maps [(B, C, H, W)] after each stage, finest first."""
        return self.run_stages(images_B3HW, range(len(self.convs)))

    def run_stages(self, hidden: Tensor, stages: range) -> list[Tensor]:
        """The maps after each of the stages. `hidden`: the map before the first, or the images."""
        levels: list[Tensor] = []
        for stage in stages:
            hidden = self.convs[stage](hidden)
            for block in _modules(self.blocks[stage]):
                hidden = block(hidden)
            levels.append(hidden)
        return levels


def _modules(blocks: nn.Module) -> Sequence[nn.Module]:
    assert isinstance(blocks, nn.ModuleList)
    return list(blocks)


class _Downsampling(nn.Module):
    """A strided convolution, with a LayerNorm over channels before or after it."""

    def __init__(self, in_channels: int, channels: int, stage: int, config: AuxiliaryConfig) -> None:
        super().__init__()
        self.norms_first = config.patch_prenorm[stage]
        self.conv = nn.Conv2d(
            in_channels,
            channels,
            config.patch_size[stage],
            config.patch_stride[stage],
            config.patch_padding[stage],
        )
        self.norm = nn.LayerNorm(in_channels if self.norms_first else channels)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        if self.norms_first:
            return self.conv(_over_channels(self.norm, map_BCHW))
        return _over_channels(self.norm, self.conv(map_BCHW))


class _Block(nn.Module):
    def __init__(self, config: AuxiliaryConfig, stage: int) -> None:
        super().__init__()
        self.spatial_block = _SpatialBlock(config, stage)
        self.channel_block = _ChannelBlock(config, stage)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        return self.channel_block(self.spatial_block(map_BCHW))


class _AttentionBlock(nn.Module):
    """Attention and a feed-forward part, each behind a depthwise convolution, all as residuals."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm1 = nn.LayerNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm2 = nn.LayerNorm(width)
        self.ffn = _FeedForward(width)

    def run(self, map_BCHW: Tensor, attention: nn.Module) -> Tensor:
        """The map after the block, with this attention over normed maps (B, H, W, C)."""
        map_BHWC = (self.conv1(map_BCHW) + map_BCHW).permute(0, 2, 3, 1)
        map_BHWC = map_BHWC + attention(self.norm1(map_BHWC))
        map_BCHW = map_BHWC.permute(0, 3, 1, 2)
        map_BHWC = (self.conv2(map_BCHW) + map_BCHW).permute(0, 2, 3, 1)
        return (map_BHWC + self.ffn(self.norm2(map_BHWC))).permute(0, 3, 1, 2)


class _SpatialBlock(_AttentionBlock):
    def __init__(self, config: AuxiliaryConfig, stage: int) -> None:
        width = config.dim_embed[stage]
        super().__init__(width)
        self.window_attn = _WindowAttention(width, config.num_heads[stage], config.window_size)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        return self.run(map_BCHW, self.window_attn)


class _ChannelBlock(_AttentionBlock):
    def __init__(self, config: AuxiliaryConfig, stage: int) -> None:
        width = config.dim_embed[stage]
        super().__init__(width)
        self.channel_attn = _ChannelAttention(width, config.num_groups[stage])

    def forward(self, map_BCHW: Tensor) -> Tensor:
        return self.run(map_BCHW, self.channel_attn)


class _WindowAttention(nn.Module):
    """Attention within windows. The map is padded with zeros to whole windows, and padding takes part."""

    def __init__(self, width: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.num_heads, self.window = num_heads, window
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, map_BHWC: Tensor) -> Tensor:
        batch, height, width, channels = map_BHWC.shape
        side = self.window
        padded = pad(map_BHWC, (0, 0, 0, -width % side, 0, -height % side))
        rows, columns = padded.shape[1] // side, padded.shape[2] // side
        windows = padded.view(batch, rows, side, columns, side, channels).transpose(2, 3)
        qkv = self.qkv(windows.reshape(-1, side * side, channels)).unflatten(-1, (3, self.num_heads, -1))
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
        windows = self.proj(attended).view(batch, rows, columns, side, side, channels)
        whole = windows.transpose(2, 3).reshape(batch, rows * side, columns * side, channels)
        return whole[:, :height, :width]


class _ChannelAttention(nn.Module):
    """Attention between the channels of a group, each of which is a vector over all tokens."""

    def __init__(self, width: int, num_groups: int) -> None:
        super().__init__()
        self.num_groups = num_groups
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, map_BHWC: Tensor) -> Tensor:
        tokens_BNC = map_BHWC.flatten(1, 2)
        qkv = self.qkv(tokens_BNC).unflatten(-1, (3, self.num_groups, -1))
        queries_BGNE, keys_BGNE, values_BGNE = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores_BGEE = (queries_BGNE.transpose(-1, -2) * tokens_BNC.shape[1] ** -0.5) @ keys_BGNE
        attended_BGNE = values_BGNE @ softmax(scores_BGEE, dim=-1).transpose(-1, -2)
        return self.proj(attended_BGNE.transpose(1, 2).flatten(2)).view_as(map_BHWC)


class _FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, _INNER_RATIO * width)
        self.fc2 = nn.Linear(_INNER_RATIO * width, width)

    def forward(self, states: Tensor) -> Tensor:
        return self.fc2(gelu(self.fc1(states)))


def _over_channels(norm: nn.LayerNorm, map_BCHW: Tensor) -> Tensor:
    return norm(map_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
