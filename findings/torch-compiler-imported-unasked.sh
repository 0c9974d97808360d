#!/usr/bin/env bash
# torch 2.15.0, torchvision 0.29.2: the compiler is imported by programs that compile nothing.
#
# Two innocent lines import `torch._dynamo`, SymPy and hundreds of modules more, which takes about as long as
# `import torch` itself. `import torchvision` does, because its `roi_align` asks whether compiling is supported.
# And a model built on the meta device does: not its linear layers and convolutions (they draw uniform numbers),
# but its first `nn.Embedding`, which draws from a normal distribution. `nn.Embedding.from_pretrained` does not.
#
# Output seen: which of these import the compiler: torchvision True, meta Linear False, meta Embedding True,
# meta Embedding.from_pretrained False.
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
install torch==2.15.0 torchvision==0.29.2 numpy==2.2.6
imports() {  # whether a program imports the compiler
    "$folder/env/bin/python" -c "$1
import sys
print('torch._dynamo' in sys.modules)"
}
on_meta="import torch
from torch import nn
torch.set_default_device('meta')"
seen="torchvision $(imports 'import torchvision')"
seen="$seen, meta Linear $(imports "$on_meta; nn.Linear(4, 4)")"
seen="$seen, meta Embedding $(imports "$on_meta; nn.Embedding(4, 4)")"
seen="$seen, meta Embedding.from_pretrained $(imports "$on_meta; nn.Embedding.from_pretrained(torch.empty(4, 4))")"
echo "$seen"
[ "$seen" = "torchvision True, meta Linear False, meta Embedding True, meta Embedding.from_pretrained False" ]
echo "as described: torch 2.15.0, torchvision 0.29.2"
