"""Stores a trained checkpoint as the bundled one: weights in bfloat16, computed in float32 when loaded."""

import argparse
from pathlib import Path

import torch

from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.checkpoint_files import save_checkpoint

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    model = load_checkpoint(str(arguments.checkpoint)).model
    save_checkpoint(model, arguments.checkpoint, arguments.out, dtype=torch.bfloat16)
    for path in arguments.out.iterdir():
        path.chmod(0o644)
