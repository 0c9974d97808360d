"""A small detector with random weights of every class of transformers, saved as a released one is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from random_detectors import word_piece_tokenizer, write_grounding_dino, write_rt_detr

# Enough queries that 100 rows over queries x classes are fewer boxes than queries.
NUM_QUERIES = 60
NUM_VIT_QUERIES = 30
CLASSES = ["cat", "dog", "traffic light", "kite"]
SIDES_PX = {"shortest_edge": 64, "longest_edge": 100}


def _id2label() -> dict[int, str]:
    return dict(enumerate(CLASSES))


def _resnet() -> Any:
    from transformers import ResNetConfig

    return ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage4"],
    )  # fmt: skip


def _hgnet(stages: tuple[int, ...] = (2, 3, 4)) -> Any:
    from transformers import HGNetV2Config

    return HGNetV2Config(
        embedding_size=8, stem_channels=[3, 8, 8], stage_in_channels=[8, 8, 16, 24],
        stage_mid_channels=[8, 8, 8, 8], stage_out_channels=[8, 16, 24, 32], hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1], stage_num_blocks=[1, 1, 1, 1], stage_numb_of_layers=[1, 1, 1, 1],
        out_features=[f"stage{stage}" for stage in stages],
    )  # fmt: skip


def _save(folder: Path, model: Any, processor: Any) -> Path:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _detr_like(name: str, **more: Any) -> Callable[[Path], Path]:
    """A detector with one feature map, or several of a plain backbone, and the processor of its kind."""

    def write(folder: Path) -> Path:
        import transformers

        config = getattr(transformers, f"{name}Config")(
            backbone_config=_resnet(), num_queries=NUM_QUERIES, d_model=32, encoder_layers=1,
            decoder_layers=2, encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=4,
            decoder_attention_heads=4, id2label=_id2label(), **more,
        )  # fmt: skip
        if name == "DabDetr":
            config.hidden_size = 32
        processor = {"TableTransformer": "Detr", "DabDetr": "ConditionalDetr"}.get(name, name)
        return _save(
            folder,
            getattr(transformers, f"{name}ForObjectDetection")(config),
            getattr(transformers, f"{processor}ImageProcessor")(size=SIDES_PX),
        )

    return write


def _rt_detr_like(name: str, *, stages: tuple[int, ...] = (2, 3, 4), **more: Any) -> Callable[[Path], Path]:
    """A detector with a hybrid encoder over three feature maps."""

    def write(folder: Path) -> Path:
        import transformers

        options = {
            "backbone_config": _hgnet(stages), "encoder_hidden_dim": 32, "encoder_in_channels": [16, 24, 32],
            "encoder_layers": 1, "encoder_ffn_dim": 32, "encoder_attention_heads": 2, "d_model": 32,
            "num_queries": NUM_QUERIES, "decoder_layers": 2, "decoder_attention_heads": 2,
            "decoder_ffn_dim": 32, "decoder_in_channels": [32, 32, 32], "id2label": _id2label(), **more,
        }  # fmt: skip
        config = getattr(transformers, f"{name}Config")(**options)
        own = f"{name}ImageProcessor"
        processor = getattr(transformers, own if name.startswith("PP") else "RTDetrImageProcessor")
        return _save(
            folder,
            getattr(transformers, f"{name}ForObjectDetection")(config),
            processor(size={"height": 96, "width": 96}),
        )

    return write


def _vit_detr(name: str) -> Callable[[Path], Path]:
    """LW-DETR and RF-DETR: a ViT whose maps are the backbone's."""

    def write(folder: Path) -> Path:
        import transformers

        common = {
            "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2,
            "out_features": ["stage1", "stage2"],
        }  # fmt: skip
        if name == "LwDetr":
            backbone = transformers.LwDetrViTConfig(
                image_size=128, pretrain_image_size=128, patch_size=16, num_windows=4, **common
            )
            more = {"projector_scale_factors": [1.0]}
            processor = transformers.DeformableDetrImageProcessor(size={"height": 128, "width": 128})
        else:
            backbone = transformers.RfDetrDinov2Config(image_size=128, patch_size=16, num_windows=2, **common)
            more = {}
            processor = transformers.RfDetrImageProcessor(size={"height": 128, "width": 128})
        config = getattr(transformers, f"{name}Config")(
            backbone_config=backbone, d_model=32, decoder_layers=2, decoder_ffn_dim=32, c2f_num_blocks=1,
            decoder_self_attention_heads=2, decoder_cross_attention_heads=4, num_queries=NUM_VIT_QUERIES,
            group_detr=2, id2label=_id2label(), **more,
        )  # fmt: skip
        return _save(folder, getattr(transformers, f"{name}ForObjectDetection")(config), processor)

    return write


def _write_yolos(folder: Path) -> Path:
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

    config = YolosConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=[64, 96], num_detection_tokens=20, id2label=_id2label(),
    )  # fmt: skip
    return _save(folder, YolosForObjectDetection(config), YolosImageProcessor(size=SIDES_PX))


def _pp_ocr(name: str) -> Callable[[Path], Path]:
    """A detector of text lines: the blobs of its probability map are boxes."""

    def write(folder: Path) -> Path:
        import transformers

        config = getattr(transformers, f"{name}Config")(**_PP_OCR[name]())
        model = getattr(transformers, f"{name}ForObjectDetection")(config)
        return _save(
            folder, model, transformers.PPOCRV5ServerDetImageProcessor(limit_side_len=64, limit_type="min")
        )

    return write


def _lcnet_v3() -> Any:
    from transformers import PPLCNetV3Config

    channels = [8, 8, 8, 16, 16]
    blocks = [
        [[3, before, after, 1 if stage == 0 else 2, stage == 4]]
        for stage, (before, after) in enumerate(zip([8, *channels], channels, strict=False))
    ]
    return PPLCNetV3Config(
        block_configs=blocks, stem_channels=8, out_features=["stage2", "stage3", "stage4", "stage5"]
    )


def _server_like(backbone: Any) -> dict[str, Any]:
    sides = {"long": 7, "mid": 5, "short": 3}
    blocks: dict[str, list[Any]] = {"reduce_channel": [1, 1, 0], "return_channel": [1, 1, 0]}
    for name, side in sides.items():
        half = side // 2
        blocks[f"symmetric_conv_long_{name}ratio"] = [side, 1, half]
        blocks[f"vertical_long_to_small_conv_{name}ratio"] = [[side, 1], 1, [half, 0]]
        blocks[f"horizontal_small_to_long_conv_{name}ratio"] = [[1, side], 1, [0, half]]
    return {
        "backbone_config": backbone, "neck_out_channels": 16, "intraclass_block_config": blocks,
        "scale_factor_list": [1, 2, 4, 8], "kernel_list": [3, 2, 2],
    }  # fmt: skip


_PP_OCR: dict[str, Callable[[], dict[str, Any]]] = {
    "PPOCRV5MobileDet": lambda: {
        "backbone_config": _lcnet_v3(), "neck_out_channels": 16, "layer_list_out_channels": [8, 8, 16, 16],
    },
    "PPOCRV5ServerDet": lambda: _server_like(_hgnet((1, 2, 3, 4))),
    "PPOCRV6MediumDet": lambda: _server_like(_hgnet((1, 2, 3, 4))),
    "PPOCRV6SmallDet": lambda: {
        "backbone_config": _lcnet_v3(), "neck_out_channels": 16, "layer_list_out_channels": [8, 8, 16, 16],
    },
}  # fmt: skip


def _swin() -> Any:
    from transformers import SwinConfig

    return SwinConfig(
        image_size=64, window_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2],
        out_indices=[2, 3, 4],
    )  # fmt: skip


def _write_mm_grounding_dino(folder: Path) -> Path:
    """The released ones are Grounding DINO with another name and other defaults."""
    from transformers import (
        AutoTokenizer,
        BertConfig,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        MMGroundingDinoConfig,
        MMGroundingDinoForObjectDetection,
    )

    folder.mkdir(parents=True, exist_ok=True)
    word_piece_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip
    config = MMGroundingDinoConfig(
        backbone_config=_swin(), text_config=text, num_queries=50, encoder_layers=1, encoder_ffn_dim=32,
        encoder_attention_heads=4, decoder_layers=2, decoder_ffn_dim=32, decoder_attention_heads=4,
        d_model=32, max_text_len=32,
    )  # fmt: skip
    return _save(
        folder,
        MMGroundingDinoForObjectDetection(config),
        GroundingDinoProcessor(GroundingDinoImageProcessor(size=SIDES_PX), tokenizer),
    )


def clip_tokenizer(longest: int = 16) -> Any:
    """A tokenizer of whole words, with CLIP's special tokens, and as many tokens as OWL takes."""
    from transformers import CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,"
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=longest, pad_token="<|endoftext|>")


def write_owl(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        import transformers

        tokenizer = clip_tokenizer()
        ids = {"bos_token_id": len(tokenizer) - 2, "eos_token_id": len(tokenizer) - 1, "pad_token_id": 0}
        config = getattr(transformers, f"{name}Config")(
            text_config={
                "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 32,
                "num_hidden_layers": 1, "num_attention_heads": 2, **ids,
            },
            vision_config={
                "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
                "num_attention_heads": 2, "image_size": 64, "patch_size": 8,
            },
            projection_dim=16,
        )  # fmt: skip
        images = getattr(transformers, f"{name}ImageProcessor")(size={"height": 64, "width": 64})
        if name == "OwlViT":
            images.do_center_crop = False
        processor = getattr(transformers, f"{name}Processor")(images, tokenizer)
        return _save(folder, getattr(transformers, f"{name}ForObjectDetection")(config), processor)

    return write


def _write_omdet_turbo(folder: Path) -> Path:
    import transformers

    tokenizer = clip_tokenizer(77)
    config = transformers.OmDetTurboConfig(
        text_config={
            "model_type": "clip_text_model", "vocab_size": len(tokenizer), "hidden_size": 32,
            "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "projection_dim": 32, "bos_token_id": len(tokenizer) - 2, "eos_token_id": len(tokenizer) - 1,
        },
        backbone_config=_swin(), image_size=64, text_projection_in_dim=32, text_projection_out_dim=32,
        class_embed_dim=32, num_queries=30, encoder_hidden_dim=16, vision_features_channels=[16, 16, 16],
        encoder_in_channels=[16, 32, 64], encoder_attention_heads=2, encoder_dim_feedforward=32,
        decoder_hidden_dim=16, decoder_num_heads=2, decoder_num_layers=2, decoder_dim_feedforward=32,
        task_encoder_hidden_dim=16, disable_custom_kernels=True,
        apply_layernorm_after_vision_backbone=False,
    )  # fmt: skip
    images = transformers.DetrImageProcessor(size={"height": 64, "width": 64}, do_pad=False)
    processor = transformers.OmDetTurboProcessor(images, tokenizer)
    return _save(folder, transformers.OmDetTurboForObjectDetection(config), processor)


def write_florence(folder: Path) -> Path:
    """Florence-2, which writes boxes as text; most of its few tokens are locations."""
    import transformers
    from tokenizers.pre_tokenizers import ByteLevel

    torch.manual_seed(5)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = {piece: index for index, piece in enumerate([*special, *sorted(ByteLevel.alphabet())])}
    tokenizer = transformers.BartTokenizer(
        vocab=vocabulary, merges=[], extra_special_tokens={"image_token": "<image>"}
    )
    tokenizer.add_tokens([f"<loc_{place}>" for place in range(1000)])
    config = transformers.Florence2Config(
        text_config={
            "model_type": "bart", "vocab_size": len(tokenizer), "d_model": 16, "encoder_layers": 1,
            "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
            "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 200,
        },
        vision_config={
            "depths": [1, 1], "embed_dim": [8, 16], "num_heads": [2, 2], "num_groups": [2, 2],
            "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1],
            "patch_prenorm": [False, True], "projection_dim": 16, "window_size": 4,
        },
        image_token_id=tokenizer.image_token_id,
    )  # fmt: skip
    model = transformers.Florence2ForConditionalGeneration(config)
    model.generation_config.no_repeat_ngram_size = 3
    model.generation_config.num_beams = 3
    model.generation_config.early_stopping = True
    images = transformers.CLIPImageProcessor(
        size={"height": 64, "width": 64}, do_center_crop=False, image_seq_length=65
    )
    return _save(folder, model, transformers.Florence2Processor(images, tokenizer))


CLOSED: dict[str, Callable[[Path], Path]] = {
    "conditional_detr": _detr_like("ConditionalDetr"),
    "d_fine": _rt_detr_like("DFine"),
    "dab-detr": _detr_like("DabDetr"),
    "deformable_detr": _detr_like("DeformableDetr", num_feature_levels=1),
    "deimv2": _rt_detr_like("Deimv2"),
    "detr": _detr_like("Detr"),
    "lw_detr": _vit_detr("LwDetr"),
    "pp_doclayout_v2": _rt_detr_like(
        "PPDocLayoutV2", class_thresholds=[0.5] * 4, class_order=[0, 1, 2, 3],
        reading_order_config={
            "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16, "num_hidden_layers": 1,
            "coordinate_size": 3, "shape_size": 2, "num_classes": 4,
        },
    ),
    "pp_doclayout_v3": _rt_detr_like("PPDocLayoutV3", stages=(1, 2, 3, 4), x4_feat_dim=8),
    "pp_doclayout_v4": _rt_detr_like("PPDocLayoutV4"),
    "pp_ocrv5_mobile_det": _pp_ocr("PPOCRV5MobileDet"),
    "pp_ocrv5_server_det": _pp_ocr("PPOCRV5ServerDet"),
    "pp_ocrv6_medium_det": _pp_ocr("PPOCRV6MediumDet"),
    "pp_ocrv6_small_det": _pp_ocr("PPOCRV6SmallDet"),
    "rf_detr": _vit_detr("RfDetr"),
    "rt_detr": write_rt_detr,
    "rt_detr_v2": _rt_detr_like("RTDetrV2"),
    "table-transformer": _detr_like("TableTransformer"),
    "yolos": _write_yolos,
}  # fmt: skip
ZERO_SHOT: dict[str, Callable[[Path], Path]] = {
    "grounding-dino": write_grounding_dino,
    "mm-grounding-dino": _write_mm_grounding_dino,
    "omdet-turbo": _write_omdet_turbo,
    "owlv2": write_owl("Owlv2"),
    "owlvit": write_owl("OwlViT"),
}
