"""Models of the released sizes with random weights, for measurements without the released weights.

The dimensions are the released checkpoint's. The tokenizer is the bundled one; all its ids lie within the
released vocabulary.
"""

from dataclasses import replace

import torch

from fo1_data.errors import ConfigError
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.checkpoint_folder import BUNDLED, find_checkpoint
from fo1_data.model.configuration import AuxiliaryConfig, Fo1Config, RegionConfig, TextConfig, VisionConfig
from fo1_data.model.model_weights import empty_model
from fo1_data.model.processing import ImageProcessor
from fo1_data.model.prompts import load_tokenizer

PRESETS = {
    "vlm-fo1-3b": Fo1Config(
        text=TextConfig(
            hidden_size=2048,
            intermediate_size=11008,
            num_hidden_layers=36,
            num_attention_heads=16,
            num_key_value_heads=2,
            vocab_size=151936,
            mrope_section=(16, 24, 24),
        ),
        vision=VisionConfig(
            depth=32,
            hidden_size=1280,
            intermediate_size=3420,
            num_heads=16,
            out_hidden_size=2048,
            fullatt_block_indexes=(7, 15, 23, 31),
        ),
        auxiliary=AuxiliaryConfig(),
        region=RegionConfig(),
    )
}


def random_preset(name: str, *, device: torch.device, dtype: torch.dtype) -> Checkpoint:
    """A preset with random weights. Raises ConfigError if the name is unknown."""
    if name not in PRESETS:
        raise ConfigError(f"no preset {name!r}; available: {', '.join(PRESETS)}")
    return random_checkpoint(f"{name} (random weights)", PRESETS[name], device=device, dtype=dtype)


def random_checkpoint(
    name: str, config: Fo1Config, *, device: torch.device, dtype: torch.dtype
) -> Checkpoint:
    """A model of this configuration with small random weights from a fixed seed; bundled tokenizer."""
    model = empty_model(config).to(dtype).to_empty(device=device)
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.fill_(1.0)
            else:
                parameter.normal_(0.0, 0.02, generator=generator)
    folder = find_checkpoint(BUNDLED)
    return Checkpoint(
        name=name,
        folder=folder,
        model=model.eval(),
        tokenizer=load_tokenizer(folder, config.region.num_region_tokens),
        processor=ImageProcessor(folder, replace(config, raw={})),
    )
