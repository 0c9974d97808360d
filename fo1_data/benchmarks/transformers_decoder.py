"""transformers' own decoder over the weights of a model: what the engine is compared with."""

from functools import lru_cache

import torch
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from fo1_data.model.modeling import Fo1Model


@lru_cache(maxsize=1)
def transformers_decoder(model: Fo1Model) -> Qwen2_5_VLTextModel:
    """The decoder of a model as transformers' class, with the same weights, not copies. The last is kept."""
    config = model.config.text
    settings = Qwen2_5_VLTextConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        hidden_act=config.hidden_act,
        max_position_embeddings=config.max_position_embeddings,
        rms_norm_eps=config.rms_norm_eps,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": config.rope_theta,
            "mrope_section": list(config.mrope_section),
        },
        use_sliding_window=False,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.device("meta"):
        decoder = Qwen2_5_VLTextModel(settings)
    decoder.load_state_dict(model.language_model.state_dict(), assign=True)
    # Rotary tables are in no state; on the meta device they have no values.
    decoder.rotary_emb = type(decoder.rotary_emb)(settings).to(model.device)  # type: ignore[arg-type]
    decoder.train(False)
    return decoder
