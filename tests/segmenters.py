"""Small SAM checkpoints with random weights, saved as released ones are."""

from pathlib import Path
from typing import Any

import torch
from detector_zoo import clip_tokenizer
from safetensors.torch import load_file, save_file

SAM3_SIDE_PX = 112
_SAM3_SIZE = {"height": SAM3_SIDE_PX, "width": SAM3_SIDE_PX}
# The tracker of SAM 3 has memories of 64 channels, and splits wider features into parts of this size.
_DIM = 128
LICENCE = "---\nlicense: other\nlicense_name: sam-licence\n---\n"


def _sam3_vision() -> dict[str, Any]:
    return {
        "backbone_config": {
            "model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 32,
            "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SAM3_SIDE_PX, "patch_size": 14,
            "window_size": 4, "global_attn_indexes": [1], "pretrain_image_size": SAM3_SIDE_PX,
        },
        "fpn_hidden_size": _DIM, "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    }  # fmt: skip


def sam3_config() -> Any:
    from transformers import Sam3Config

    tokenizer = clip_tokenizer(32)
    part = {"hidden_size": _DIM, "num_attention_heads": 2}
    layers = {**part, "intermediate_size": 32, "num_layers": 1}
    return Sam3Config(
        vision_config=_sam3_vision(),
        text_config={
            "model_type": "clip_text_model", "vocab_size": len(tokenizer), "intermediate_size": 32,
            "num_hidden_layers": 1, "max_position_embeddings": 32, "projection_dim": 32,
            "bos_token_id": len(tokenizer) - 2, "eos_token_id": len(tokenizer) - 1, **part,
        },
        geometry_encoder_config=layers, detr_encoder_config=layers,
        detr_decoder_config={**layers, "num_queries": 12}, mask_decoder_config=part,
    )  # fmt: skip


def write_sam3(folder: Path) -> Path:
    """Boxes and masks of what a text names."""
    from transformers import Sam3Model, Sam3Processor

    torch.manual_seed(4)
    Sam3Model(sam3_config()).save_pretrained(folder)
    Sam3Processor(_sam3_images(), clip_tokenizer(32)).save_pretrained(folder)
    (folder / "README.md").write_text(LICENCE)
    return folder


def _sam3_images() -> Any:
    from transformers import Sam3ImageProcessor

    return Sam3ImageProcessor(size=_SAM3_SIZE, mask_size={"height": 32, "width": 32})


def write_sam3_video(folder: Path) -> Path:
    """The form that SAM 3 is released in: a detector with a tracker, which also takes boxes."""
    from transformers import Sam2VideoVideoProcessor, Sam3VideoConfig, Sam3VideoModel, Sam3VideoProcessor

    torch.manual_seed(5)
    detector = sam3_config()
    tracker = {
        "vision_config": _sam3_vision(), "image_size": SAM3_SIDE_PX,
        "prompt_encoder_config": {"hidden_size": _DIM, "image_size": SAM3_SIDE_PX, "patch_size": 14},
        "mask_decoder_config": {"hidden_size": _DIM, "mlp_dim": 32, "num_attention_heads": 2,
                                "iou_head_hidden_dim": 32},
        "memory_attention_hidden_size": _DIM, "memory_attention_num_layers": 1,
        "memory_attention_num_attention_heads": 1, "memory_attention_feed_forward_hidden_size": 32,
        "memory_encoder_hidden_size": _DIM, "memory_encoder_output_channels": 64,
        "mask_downsampler_embed_dim": _DIM, "memory_fuser_embed_dim": _DIM,
        "memory_fuser_intermediate_dim": 32, "memory_fuser_num_layers": 1,
        "memory_attention_rope_feat_sizes": [8, 8],
    }  # fmt: skip
    config = Sam3VideoConfig(detector_config=detector.to_dict(), tracker_config=tracker)
    Sam3VideoModel(config).save_pretrained(folder)
    # transformers writes the tracker's names with their prefix twice; the released file has it once.
    weights = load_file(folder / "model.safetensors")
    named = {
        name.replace("tracker_model.tracker_model.", "tracker_model."): weights[name] for name in weights
    }
    save_file(named, folder / "model.safetensors", {"format": "pt"})
    half = [0.5, 0.5, 0.5]
    videos = Sam2VideoVideoProcessor(size=_SAM3_SIZE, image_mean=half, image_std=half)
    Sam3VideoProcessor(_sam3_images(), videos, clip_tokenizer(32)).save_pretrained(folder)
    (folder / "README.md").write_text(LICENCE)
    return folder


def write_sam2(folder: Path) -> Path:
    """Masks of boxes."""
    from transformers import Sam2Config, Sam2ImageProcessor, Sam2Model, Sam2Processor

    torch.manual_seed(6)
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "image_size": [64, 64],
        "blocks_per_stage": [1, 2, 1, 1], "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 1, 1], "window_size_per_stage": [4, 4, 4, 4],
        "global_attention_blocks": [2], "window_positional_embedding_background_size": [4, 4],
    }  # fmt: skip
    config = Sam2Config(
        vision_config={
            "backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32,
        },
    )  # fmt: skip
    Sam2Model(config).save_pretrained(folder)
    images = Sam2ImageProcessor(size={"height": 64, "width": 64}, mask_size={"height": 16, "width": 16})
    Sam2Processor(images, target_size=64).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return folder
