"""Second models that are loaded here: stock ones of transformers, and VLM-FO1 checkpoints."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from stock_bases import write_stock_base

from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.opinions.load import check_second_model, load_second_model
from fo1_data.opinions.region_model import RegionModel
from fo1_data.opinions.regions import RegionQuestion
from fo1_data.opinions.stock_model import StockModel
from fo1_data.synthetic.scenes import make_scene
from schemas.labels import LabelKind
from schemas.setting_values import OpinionView
from tests.opinions.stock_checkpoint import TEMPLATE, save_stock_checkpoint

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_stock_checkpoint(tmp_path_factory.mktemp("stock") / "tiny-vl")


def questions() -> list[RegionQuestion]:
    image = Image.radial_gradient("L").convert("RGB")
    boxes = [(90.0, 5.0, 100.0, 115.0), *((x, 40.0, x + 60.0, 100.0) for x in (20.0, 60.0, 100.0, 180.0))]
    return [RegionQuestion(image, box, LabelKind.BRIEF_CAPTION) for box in boxes]


def test_a_stock_model_answers_the_same_alone_and_in_a_batch(stock: Path) -> None:
    model = load_second_model(str(stock), device="cpu")
    assert isinstance(model, StockModel)
    together = model.answer(questions())
    assert together == [model.answer([question])[0] for question in questions()]
    assert all(isinstance(answer, str) for answer in together)


def test_a_stock_model_without_a_template_is_refused(stock: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in stock.iterdir():
        if path.name != "chat_template.jinja":
            (bare / path.name).symlink_to(path)
    with pytest.raises(CheckpointError, match="no chat template"):
        load_second_model(str(bare), device="cpu")


@pytest.mark.parametrize(
    ("family", "box"),
    [
        # 400 x 300 px become 252 x 168 px, and thousandths of either side.
        ("qwen2_5_vl", [25, 17, 126, 168]),
        ("qwen3_vl", [100, 100, 500, 1000]),
    ],
)
def test_a_family_is_asked_about_boxes_in_the_numbers_it_was_taught(
    family: str, box: list[int], tmp_path: Path
) -> None:
    folder = write_stock_base(family, tmp_path / "base")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "video_preprocessor_config.json").write_text(
        '{"video_processor_type": "Qwen2VLVideoProcessor"}'
    )
    model = load_second_model(str(folder), view=OpinionView.BOX, device="cpu")
    assert isinstance(model, StockModel)
    image = Image.radial_gradient("L").convert("RGB").resize((400, 300))
    asked = [
        RegionQuestion(image, corners, kind)
        for corners in ((40.0, 30.0, 200.0, 320.0), (0.0, 0.0, 90.0, 80.0))
        for kind in (LabelKind.BRIEF_CAPTION, LabelKind.OCR)
    ]
    for question in asked[:2]:
        picture, text = model.picture_and_text(question)
        assert picture is image
        assert f'{{"bbox_2d": {box}}}' in text
    assert model.answer(asked) == [model.answer([question])[0] for question in asked]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (
            {"model_type": "paddleocr_vl"},
            "how paddleocr_vl .* reads boxes is not known; known: qwen2_5_vl, qwen3_vl",
        ),
        ({"model_type": "x", "mm_num_region_tokens": 100}, "is a VLM-FO1, which has region tokens"),
        (None, "a server does not say how its model reads boxes"),
    ],
)
def test_boxes_are_not_told_to_a_model_that_reads_them_in_no_known_way(
    config: dict[str, object] | None, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    spec = "http://127.0.0.1:9/v1#tiny" if config is None else str(tmp_path)
    with pytest.raises(ConfigError, match=reason):
        check_second_model(spec, OpinionView.BOX)


def test_a_model_that_knows_regions_is_asked_by_region_tokens() -> None:
    scene = make_scene(70_001)
    model = load_second_model("fo1-tiny", device="cpu")
    assert isinstance(model, RegionModel)
    boxes = [tuple(map(float, thing.box_xyxy)) for thing in scene.objects]
    answers = model.answer([RegionQuestion(scene.image, box, LabelKind.BRIEF_CAPTION) for box in boxes])
    right = [thing.shape in (answer or "") for thing, answer in zip(scene.objects, answers, strict=True)]
    assert sum(right) >= len(right) - 1


def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither a folder, nor a hub id, nor the address of a server"):
        load_second_model("./nowhere")
    with pytest.raises(CheckpointError, match=r"no readable config\.json"):
        load_second_model(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(CheckpointError, match="cannot be loaded as a second opinion"):
        load_second_model(str(tmp_path))
