"""Labels images with VLM-FO1: model, engine, corpora, datasets, confidence, training. No Ray, no server.

The names in `__all__` are the public API of the library; everything else may change without notice. Each is
imported when it is first used, so that `import fo1_data` loads nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fo1_data.dataset.reader import Dataset, open_dataset
    from fo1_data.errors import (
        CalibrationError,
        CheckpointError,
        ClusterError,
        ConfigError,
        CorpusError,
        DatasetError,
        FingerprintError,
        Fo1Error,
        InputReject,
        LeaseError,
        RunError,
        StorageError,
        UsageError,
    )
    from fo1_data.labelling.image_labeller import ImageLabeller
    from fo1_data.labelling.single_images import label_image, load_labeller
    from fo1_data.model.checkpoint import Checkpoint, load_checkpoint
    from fo1_data.model.engine.engine import Fo1Engine, OpenImage, Question
    from fo1_data.model.engine.generation import Generation
    from fo1_data.model.prompts import question_text
    from fo1_data.training.samples.stream import ImageSample, SampleStream
    from schemas.images import ImageRow
    from schemas.labels import LabelKind

__all__ = [
    "CalibrationError",
    "Checkpoint",
    "CheckpointError",
    "ClusterError",
    "ConfigError",
    "CorpusError",
    "Dataset",
    "DatasetError",
    "FingerprintError",
    "Fo1Engine",
    "Fo1Error",
    "Generation",
    "ImageLabeller",
    "ImageRow",
    "ImageSample",
    "InputReject",
    "LabelKind",
    "LeaseError",
    "OpenImage",
    "Question",
    "RunError",
    "SampleStream",
    "StorageError",
    "UsageError",
    "label_image",
    "load_checkpoint",
    "load_labeller",
    "open_dataset",
    "question_text",
]

_NAMES_IN = {
    "fo1_data.dataset.reader": {"Dataset", "open_dataset"},
    "fo1_data.labelling.image_labeller": {"ImageLabeller"},
    "fo1_data.labelling.single_images": {"label_image", "load_labeller"},
    "fo1_data.model.checkpoint": {"Checkpoint", "load_checkpoint"},
    "fo1_data.model.engine.engine": {"Fo1Engine", "OpenImage", "Question"},
    "fo1_data.model.engine.generation": {"Generation"},
    "fo1_data.model.prompts": {"question_text"},
    "fo1_data.training.samples.stream": {"ImageSample", "SampleStream"},
    "schemas.images": {"ImageRow"},
    "schemas.labels": {"LabelKind"},
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _NAMES_IN.items() if name in names), "fo1_data.errors")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return __all__
