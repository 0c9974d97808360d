"""Small detectors of transformers with random weights, saved as real ones are."""

import json
from pathlib import Path

import torch

WORDS = ["cat", "dog", "traffic light", "object"]


def write_rt_detr(folder: Path) -> Path:
    """A detector of a fixed set of classes."""
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor, RTDetrResNetConfig

    torch.manual_seed(1)
    backbone = RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = RTDetrConfig(
        backbone_config=backbone, encoder_hidden_dim=32, encoder_in_channels=[16, 24, 32], encoder_layers=1,
        encoder_ffn_dim=32, encoder_attention_heads=2, d_model=32, num_queries=120, decoder_layers=2,
        decoder_attention_heads=2, decoder_ffn_dim=32, decoder_in_channels=[32, 32, 32], num_labels=4,
    )  # fmt: skip
    RTDetrForObjectDetection(config).save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 96, "width": 96}).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A detector\n")
    return folder


def word_piece_tokenizer(folder: Path) -> None:
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?"]
    words = [part for word in WORDS for part in word.split()]
    vocabulary = {word: index for index, word in enumerate([*special, *words])}
    BertTokenizer(vocab=vocabulary).save_pretrained(folder)


def write_grounding_dino(folder: Path) -> Path:
    """A detector of the classes that a text names."""
    from transformers import (
        AutoTokenizer,
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    torch.manual_seed(2)
    folder.mkdir(parents=True, exist_ok=True)
    word_piece_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    backbone = SwinConfig(
        image_size=64, window_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2],
        out_indices=[2, 3, 4],
    )  # fmt: skip
    text = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    config = GroundingDinoConfig(
        backbone_config=backbone, text_config=text, num_queries=50, encoder_layers=1, encoder_ffn_dim=32,
        encoder_attention_heads=4, decoder_layers=2, decoder_ffn_dim=32, decoder_attention_heads=4,
        d_model=32, max_text_len=32,
    )  # fmt: skip
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    images = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 100})
    GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)
    config_file = folder / "config.json"
    config_file.write_text(json.dumps({**json.loads(config_file.read_text()), "license": "cc-by-nc-4.0"}))
    return folder
