"""What `--tracker` may name, and whether this machine can run it. Imports no tracker."""

import importlib.util

from fo1_data.errors import ConfigError

# Those of the package `trackers` that need boxes and scores alone. BoT-SORT runs without its compensation of
# the camera's motion, which needs pixels.
TRACKER_NAMES = ("bytetrack", "sort", "ocsort", "botsort", "cbiou")
# SAM 3 follows by itself what it finds.
SAM3 = "sam3"
_PACKAGES = {"av": "PyAV", "scenedetect": "scenedetect"}
_TRACKERS = {"trackers": "trackers"}


def check_tracker(name: str) -> None:
    """Raise ConfigError if there is no tracker of that name, or a package is missing to track videos."""
    if name not in (*TRACKER_NAMES, SAM3):
        raise ConfigError(f"--tracker {name}: unknown; take {', '.join((*TRACKER_NAMES, SAM3))} or none")
    needed = _PACKAGES if name == SAM3 else _PACKAGES | _TRACKERS
    for module, package in needed.items():
        if importlib.util.find_spec(module) is None:
            raise ConfigError(
                f"videos are tracked, and {package} is not installed: install fo1-data[video], "
                "or take single frames with --tracker none"
            )
