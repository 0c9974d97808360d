"""The decoder's states over a whole prompt, without a cache: for comparison and inspection.

Shapes: P tokens of the prompt, D language model width, A query heads, K key-value heads, E head width.
"""

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fo1_data.model.modeling import Fo1Model
from fo1_data.model.region_fusion import PromptEmbeds
from fo1_data.model.rotary import cos_sin


def prompt_states(model: Fo1Model, prompt: PromptEmbeds) -> Tensor:
    """The states (P, D) after the final norm, with causal attention over the prompt."""
    tables = cos_sin(prompt.positions.to(model.device), model.config.text)

    def attend(_: int, queries_PAE: Tensor, keys_PKE: Tensor, values_PKE: Tensor) -> Tensor:
        queries, keys, values = (part.transpose(0, 1)[None] for part in (queries_PAE, keys_PKE, values_PKE))
        attended = scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)
        return attended[0].transpose(0, 1)

    states_PD: Tensor = model.language_model(prompt.embeds, *tables, attend, deep=prompt.deep)
    return states_PD
