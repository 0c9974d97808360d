"""`ray` whose `start` waits two minutes for its node: the 30 s of Ray can be too short on a busy machine."""

import time
from typing import Any

from ray._private import services
from ray.scripts import scripts

WAIT_S = 120

_asked = services.get_node


def _await_node(*args: Any) -> Any:
    deadline_s = time.monotonic() + WAIT_S
    while True:
        try:
            return _asked(*args)
        except RuntimeError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.5)


if __name__ == "__main__":
    services.get_node = _await_node
    scripts.main()
