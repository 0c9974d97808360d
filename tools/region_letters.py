"""How well single letters and digits can be read from region features, however densely boxes are pooled.

`python -m tools.region_letters fo1-tiny` prints, for 7, 14 and 28 cells a side (`mm_roi_output_size`), the
share of characters that a linear reader names, on the images it was fitted on and on others.
"""

import argparse
import json
import warnings
from dataclasses import replace

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fo1_data.model.checkpoint import Checkpoint, load_checkpoint
from fo1_data.synthetic.snippets import make_snippets

_CELLS = (7, 14, 28)
_SEED, _IMAGES, _FITTED_ON, _TEXTS = 930_000_000, 150, 115, (8, 12)


@torch.no_grad()
def features_of(checkpoint: Checkpoint, seeds: range) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """By cells a side, the features (R, F) of all characters of some images, and which ones they are."""
    model = checkpoint.model
    features: dict[int, list[np.ndarray]] = {cells: [] for cells in _CELLS}
    texts: list[str] = []
    for seed in seeds:
        made = make_snippets(seed, _TEXTS, longest=1)
        boxes_R4 = np.array([snippet.box_xyxy for snippet in made.snippets], dtype=np.float32)
        image = checkpoint.processor.prepare(made.image, boxes_R4)
        levels = model.vision_tower_aux(image.aux_image[None])
        (primary,) = model.vision_tower.encode(image.pixel_values, [image.grid_hw], all_maps=False)
        for cells in _CELLS:
            model.region_encoder.region = replace(model.config.region, roi_output_size=cells)
            boxes = image.aux_boxes[None], image.vt_boxes[None]
            features[cells].append(model.region_encoder(levels, primary.maps, *boxes)[0].numpy())
        texts += [snippet.text for snippet in made.snippets]
    return {cells: np.concatenate(parts) for cells, parts in features.items()}, np.array(texts)


def main(name: str) -> None:
    checkpoint = load_checkpoint(name)
    fitted_on, fitted_texts = features_of(checkpoint, range(_SEED, _SEED + _FITTED_ON))
    others, other_texts = features_of(checkpoint, range(_SEED + _FITTED_ON, _SEED + _IMAGES))
    warnings.simplefilter("ignore", ConvergenceWarning)
    for cells in _CELLS:
        reader = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=200))
        reader.fit(fitted_on[cells], fitted_texts)
        shares = {
            "fitted_on": round(float((reader.predict(fitted_on[cells]) == fitted_texts).mean()), 3),
            "others": round(float((reader.predict(others[cells]) == other_texts).mean()), 3),
        }
        counts = {
            "characters": len(set(fitted_texts)),
            "boxes": len(fitted_texts),
            "other_boxes": len(other_texts),
        }
        print(json.dumps({"cells": cells, **shares, **counts}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", nargs="?", default="fo1-tiny")
    main(parser.parse_args().checkpoint)
