"""Models of the released sizes with random weights, for measurements without the released weights.

The dimensions are the released checkpoint's. The tokenizer is the bundled one; all its ids lie within the
released vocabulary.
"""

from dataclasses import replace

import torch

from fo1_data.errors import ConfigError
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.checkpoint_folder import BUNDLED, find_checkpoint
from fo1_data.model.configuration import Fo1Config, parse_config
from fo1_data.model.model_weights import empty_model
from fo1_data.model.processing import ImageProcessor
from fo1_data.model.prompts import load_tokenizer

PRESETS = {
    "vlm-fo1-3b": parse_config(
        {
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
            "rope_scaling": {"mrope_section": [16, 24, 24]},
            "vision_config": {
                "depth": 32,
                "hidden_size": 1280,
                "intermediate_size": 3420,
                "num_heads": 16,
                "out_hidden_size": 2048,
                "fullatt_block_indexes": [7, 15, 23, 31],
            },
        }
    ),
    # For trying commands out on a CPU: a few seconds.
    "small": parse_config(
        {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 1024,
            "rope_scaling": {"mrope_section": [4, 2, 2]},
            "vision_config": {
                "depth": 2,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_heads": 2,
                "out_hidden_size": 64,
                "fullatt_block_indexes": [1],
            },
        },
        {
            "dim_embed": [16, 16, 32, 32],
            "depths": [1, 1, 1, 1],
            "num_heads": [2, 2, 2, 2],
            "num_groups": [2, 2, 2, 2],
            "fpn_channels": 16,
        },
    ),
}
_STD = 0.02
# A prime, so that the rows of a weight differ.
_NUM_DRAWN = 4_194_301


def random_preset(name: str, *, device: torch.device, dtype: torch.dtype) -> Checkpoint:
    """A preset with random weights. Raises ConfigError if the name is unknown."""
    if name not in PRESETS:
        raise ConfigError(f"no preset {name!r}; available: {', '.join(PRESETS)}")
    return random_checkpoint(f"{name} (random weights)", PRESETS[name], device=device, dtype=dtype)


def random_checkpoint(
    name: str, config: Fo1Config, *, device: torch.device, dtype: torch.dtype
) -> Checkpoint:
    """A model of this configuration with small random weights from a fixed seed; bundled tokenizer.

    Images keep the resolution of a checkpoint that states no limits, not the bundled model's.
    """
    model = empty_model(config).to(dtype).to_empty(device=device)
    _fill(model)
    folder = find_checkpoint(BUNDLED)
    return Checkpoint(
        name=name,
        folder=folder,
        model=model.eval(),
        tokenizer=load_tokenizer(folder, config.region.num_region_tokens, config.base.markup),
        processor=ImageProcessor(None, replace(config, raw={})),
    )


@torch.no_grad()
def _fill(model: torch.nn.Module) -> None:
    """Normal weights, and ones in norms and biases.

    The weights are the same few million numbers again and again, each time from another of them on: drawing
    billions takes longer than the measurements.
    """
    parameters = list(model.parameters())
    generator = torch.Generator().manual_seed(0)
    drawn = (
        torch.randn(_NUM_DRAWN, generator=generator).mul_(_STD).to(parameters[0].device, parameters[0].dtype)
    )
    for parameter in parameters:
        if parameter.ndim == 1:
            parameter.fill_(1.0)
            continue
        values, whole = parameter.view(-1), parameter.numel() // _NUM_DRAWN * _NUM_DRAWN
        values[:whole].view(-1, _NUM_DRAWN).copy_(drawn)
        values[whole:].copy_(drawn[: parameter.numel() - whole])
        drawn = drawn.roll(parameter.numel() % _NUM_DRAWN)
