#!/usr/bin/env bash
# transformers 5.23.0 and 5.24.0: no keyword of `generate` hands over a prefilled cache in both without a warning.
#
# 5.23 takes the cache of a prompt as `past_key_values` and refuses `cache` as an unknown argument of the model. 5.24, a minor
# version, takes `cache`, and warns that `past_key_values` goes away: an error where warnings are errors. Code for both has to
# ask the signature of `prepare_inputs_for_generation`, because that of `generate` itself names neither.
#
# Output seen: 5.23.0: past_key_values taken, cache refused. 5.24.0: past_key_values warned of, cache taken.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
install() {  # into the temporary folder, with uv if there is one
    if command -v uv > /dev/null; then
        uv venv --quiet "$folder/env" && uv pip install --quiet --python "$folder/env/bin/python" "$@"
    else
        python3 -m venv "$folder/env" && "$folder/env/bin/python" -m pip install --quiet "$@"
    fi
}
cat > "$folder/program.py" <<'PROGRAM'
import sys
import warnings

import torch
import transformers
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM

torch.manual_seed(0)
sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "vocab_size": 50}
model = Qwen2ForCausalLM(Qwen2Config(**sizes, num_attention_heads=2, num_key_value_heads=2)).eval()
ids = torch.tensor([[1, 2, 3, 4, 5, 6]])


def outcome(name):
    cache = DynamicCache()
    with torch.no_grad():
        model(ids[:, :-1], past_key_values=cache)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.generate(ids, **{name: cache}, max_new_tokens=2, do_sample=False, pad_token_id=0)
        except ValueError:
            return "refused"
    return "warned of" if any("deprecated" in str(entry.message) and name in str(entry.message) for entry in caught) else "taken"


print(f"{transformers.__version__}: past_key_values {outcome('past_key_values')}, cache {outcome('cache')}")
PROGRAM
for version in 5.23.0 5.24.0; do
    rm -rf "$folder/env"
    install "transformers==$version" torch==2.15.0 numpy==2.2.6
    "$folder/env/bin/python" "$folder/program.py" 2> /dev/null | tee -a "$folder/seen"
done
grep -qx "5.23.0: past_key_values taken, cache refused" "$folder/seen"
grep -qx "5.24.0: past_key_values warned of, cache taken" "$folder/seen"
echo "as described: transformers 5.23.0 and 5.24.0"
