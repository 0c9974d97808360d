"""The trackers that `--tracker` may name, and whether this machine can run them. Imports none of them."""

import importlib.util

from fo1_data.errors import ConfigError

# Those of the package `trackers` that need boxes and scores alone. BoT-SORT runs without its compensation of
# the camera's motion, which needs pixels.
TRACKER_NAMES = ("bytetrack", "sort", "ocsort", "botsort", "cbiou")
_PACKAGES = {"av": "PyAV", "trackers": "trackers", "scenedetect": "scenedetect"}


def check_tracker(name: str) -> None:
    """Raise ConfigError if there is no tracker of that name, or a package is missing to track videos."""
    if name not in TRACKER_NAMES:
        raise ConfigError(f"--tracker {name}: unknown; take {', '.join(TRACKER_NAMES)} or none")
    for module, package in _PACKAGES.items():
        if importlib.util.find_spec(module) is None:
            raise ConfigError(
                f"videos are tracked, and {package} is not installed: install fo1-data[video], "
                "or take single frames with --tracker none"
            )
