"""The decoder's states over one whole prompt, without a cache: for comparison and inspection."""

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fo1_data.model.decoder import run_decoder
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.region_fusion import PromptEmbeds
from fo1_data.model.rotary import cos_sin


def prompt_states(model: Fo1Model, prompt: PromptEmbeds) -> Tensor:
    """(P, D) states after the final norm, causal attention over the P embeddings of a prompt."""
    tables = cos_sin(
        prompt.positions.to(model.device),
        model.language_model.rotary_emb.inv_freq,
        model.config.text.mrope_section,
    )

    def attend(_: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        query, key, value = (part.transpose(0, 1)[None] for part in (queries, keys, values))
        attended = scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        return attended[0].transpose(0, 1)

    hidden = run_decoder(model.language_model, prompt.embeds, *tables, attend)
    assert hidden is not None
    return hidden
