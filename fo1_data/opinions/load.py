"""Loads the second model that `--second-opinion` names; model code is imported when it is needed."""

from typing import Any

from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.home_folders import expand_home
from fo1_data.model.checkpoint_folder import BUNDLED
from fo1_data.opinions.box_frames import box_frame_of
from fo1_data.opinions.regions import SecondModel
from fo1_data.storage.json_text import parse_json
from schemas.setting_values import OpinionView

_REGION_SETTING = "mm_num_region_tokens"
_NO_BOXES = "--second-opinion-view box"


def is_server(spec: str) -> bool:
    """Whether `--second-opinion` names a server."""
    return spec.startswith(("http://", "https://"))


def load_second_model(
    spec: str,
    *,
    view: OpinionView = OpinionView.CROP,
    device: str | None = None,
    dtype: str | None = None,
    engine_bytes: int | None = None,
) -> SecondModel:
    """spec: the address of an OpenAI-compatible server (`http://HOST/v1#MODEL`), a VLM-FO1 checkpoint, or one
    that transformers loads for images and text: a folder or a hub id.

    view, device, dtype, engine_bytes: as of a run. Raises CheckpointError, ConfigError, RunError.
    """
    check_second_model(spec, view)
    if is_server(spec):
        from fo1_data.opinions.server import ServerModel

        return ServerModel(spec)
    from fo1_data.model.device import choose_device, choose_dtype

    torch_device = choose_device(device)
    _, torch_dtype = choose_dtype(dtype, torch_device)
    if knows_regions(spec):
        from fo1_data.opinions.region_model import RegionModel

        return RegionModel(spec, torch_device, torch_dtype, engine_bytes)
    from fo1_data.opinions.stock_model import StockModel

    return StockModel(spec, torch_device, torch_dtype, view)


def check_second_model(spec: str, view: OpinionView) -> None:
    """Raise CheckpointError or ConfigError for what can be seen without loading it."""
    wants_box = view is OpinionView.BOX
    if is_server(spec):
        if wants_box:
            raise ConfigError(f"{_NO_BOXES}: a server does not say how its model reads boxes; leave it out")
    elif knows_regions(spec):
        if wants_box:
            raise ConfigError(f"{_NO_BOXES}: {spec} is a VLM-FO1, which has region tokens; leave it out")
    elif wants_box and expand_home(spec).is_dir():
        box_frame_of(spec, str(_config_of(spec).get("model_type")))


def knows_regions(spec: str) -> bool:
    """Whether it is a VLM-FO1 checkpoint. A hub id is taken for one of transformers.

    Raises CheckpointError if it is no checkpoint at all.
    """
    if spec == BUNDLED:
        return True
    folder = expand_home(spec)
    if not folder.is_dir():
        if folder.exists() or spec.startswith((".", "/", "~")) or spec.count("/") != 1:
            raise CheckpointError(
                f"--second-opinion {spec}: it is neither a folder, nor a hub id, nor the address of a server"
            )
        return False
    return _REGION_SETTING in _config_of(spec)


def _config_of(spec: str) -> dict[str, Any]:
    try:
        config = parse_json((expand_home(spec) / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"--second-opinion {spec}: it has no readable config.json") from error
    return config if isinstance(config, dict) else {}
