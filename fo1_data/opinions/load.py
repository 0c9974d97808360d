"""Loads the second model that `--second-opinion` names; model code is imported when it is needed."""

import json
from pathlib import Path

from fo1_data.errors import CheckpointError
from fo1_data.model.checkpoint_folder import BUNDLED
from fo1_data.opinions.regions import SecondModel

_REGION_SETTING = "mm_num_region_tokens"


def is_server(spec: str) -> bool:
    """Whether `--second-opinion` names a server."""
    return spec.startswith(("http://", "https://"))


def load_second_model(
    spec: str, *, device: str | None = None, dtype: str | None = None, engine_bytes: int | None = None
) -> SecondModel:
    """spec: the address of an OpenAI-compatible server (`http://HOST/v1#MODEL`), a VLM-FO1 checkpoint, or one
    that transformers loads for images and text: a folder or a hub id.

    device, dtype, engine_bytes: as of a run. Raises CheckpointError, ConfigError, RunError.
    """
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

    return StockModel(spec, torch_device, torch_dtype)


def knows_regions(spec: str) -> bool:
    """Whether it is a VLM-FO1 checkpoint. A hub id is taken for one of transformers.

    Raises CheckpointError if it is no checkpoint at all.
    """
    if spec == BUNDLED:
        return True
    folder = Path(spec).expanduser()
    if not folder.is_dir():
        if folder.exists() or spec.startswith((".", "/", "~")) or spec.count("/") != 1:
            raise CheckpointError(
                f"--second-opinion {spec}: it is neither a folder, nor a hub id, nor the address of a server"
            )
        return False
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"--second-opinion {spec}: it has no readable config.json") from error
    return isinstance(config, dict) and _REGION_SETTING in config
