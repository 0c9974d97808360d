#!/usr/bin/env bash
# Ray 2.60.0: what a signal handler raises while the driver waits in Ray does not come out as it was raised.
#
# Python raises it at the line where the main thread is, as in time.sleep. In ray.get and ray.wait:
# - a subclass of KeyboardInterrupt ends the wait at once, as a plain KeyboardInterrupt: neither its type nor its
#   message is left, and it has no cause. A handler of SIGTERM that raises one looks like Ctrl-C.
# - any other exception, also one derived from BaseException, does not end the wait. When the wait is over, its
#   result is lost: a SystemError takes its place ("returned a result with an exception set"), with the
#   exception as its cause.
#
# Output seen: Stopped(KeyboardInterrupt): sleep Stopped, get and wait KeyboardInterrupt without a cause;
# Told(Exception): sleep Told, get and wait SystemError, caused by Told, after the task had ended.
set -euo pipefail
folder=$(mktemp -d)
short=$(mktemp -d /tmp/f.XXXX)  # Ray's sockets need a short path
trap 'rm -rf "$folder" "$short"' EXIT
install() {  # into the temporary folder, with uv if there is one
    if command -v uv > /dev/null; then
        uv venv --quiet "$folder/env" && uv pip install --quiet --python "$folder/env/bin/python" "$@"
    else
        python3 -m venv "$folder/env" && "$folder/env/bin/python" -m pip install --quiet "$@"
    fi
}
install ray==2.60.0
cat > "$folder/try.py" <<'PYTHON'
import os
import signal
import sys
import threading
import time

import ray

TASK_S, SIGNAL_S = 6, 1


class Stopped(KeyboardInterrupt):
    """As of a handler that ends a run."""


class Told(Exception):
    """As of a handler that sets a time limit."""


@ray.remote(num_cpus=0)
def task() -> str:
    time.sleep(TASK_S)
    return "its result"


def raised(kind, wait) -> tuple[BaseException, bool]:
    """What a wait raises if a signal arrives meanwhile, and whether it lasted as long as the task."""

    def handle(number, frame) -> None:
        raise kind("by the handler")

    signal.signal(signal.SIGTERM, handle)
    reference, start_s = task.remote(), time.monotonic()
    timer = threading.Timer(SIGNAL_S, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        wait(reference)
    except BaseException as error:
        return error, time.monotonic() - start_s > TASK_S - SIGNAL_S
    finally:
        timer.join()
    raise AssertionError("nothing was raised")


ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000, _temp_dir=sys.argv[1])
waits = {"sleep": lambda _: time.sleep(TASK_S), "get": ray.get, "wait": lambda reference: ray.wait([reference])}
for kind in (Stopped, Told):
    for name, wait in waits.items():
        error, lasted = raised(kind, wait)
        print(f"{kind.__name__} in {name}: {type(error).__name__}, caused by {error.__cause__!r}, to the end: {lasted}")
        if name == "sleep":
            assert type(error) is kind and not lasted
        elif kind is Stopped:
            assert type(error) is KeyboardInterrupt and not error.args and error.__cause__ is None and not lasted
        else:
            assert type(error) is SystemError and isinstance(error.__cause__, Told) and lasted
PYTHON
RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled "$folder/env/bin/python" "$folder/try.py" "$short" 2> "$folder/errors" ||
    { cat "$folder/errors"; exit 1; }
echo "as described: Ray 2.60.0"
