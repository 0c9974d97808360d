#!/usr/bin/env bash
# Ray 2.60.0: `ray start --head --node-ip-address=127.0.0.1` listens on every interface of the machine.
#
# The address is replaced with that of the network without a word ("make sure localhost isn't resolved to the
# loopback ip"), and a node with such an address binds its servers (GCS, raylet, agents, metrics) to all
# interfaces. The one switch that keeps 127.0.0.1 is named for other systems:
# RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0. `ray.init(_node_ip_address="127.0.0.1")` does the same.
#
# Output seen, addresses that Ray's processes listen on besides loopback (without the dashboard, whose agents add
# 0.0.0.0): as asked: `::`; with the variable: none.
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
install ray==2.60.0 psutil==7.0.0
cat > "$folder/try.py" <<'PYTHON'
import os
import subprocess
import sys
import time

import psutil


def listens_on(more: dict[str, str]) -> set[str]:
    """The addresses besides loopback that the processes of a head node listen on."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", **more}
    environment["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] = "0"
    command = [os.path.join(os.path.dirname(sys.executable), "ray"), "start", "--head", "--block", "--port=0"]
    command += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", "--num-cpus=1"]
    command += ["--object-store-memory=80000000", f"--temp-dir={sys.argv[1]}/r"]
    head = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        found: list = []
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            time.sleep(1)
            found = []
            names = set()
            for process in psutil.Process(head.pid).children(recursive=True):
                try:
                    names.add(process.name())
                    found += [c.laddr.ip for c in process.net_connections("inet") if c.status == "LISTEN"]
                except psutil.Error:
                    continue
            if {"gcs_server", "raylet"} <= names and len(found) >= 3:
                break
        return {ip for ip in found if not ip.removeprefix("::ffff:").startswith("127.")}
    finally:
        head.terminate()
        head.wait(60)


asked = listens_on({})
switched = listens_on({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"})
print("as asked:", sorted(asked), "with the variable:", sorted(switched))
assert asked & {"0.0.0.0", "::"}
assert not switched
PYTHON
"$folder/env/bin/python" "$folder/try.py" "$short"
echo "as described: Ray 2.60.0"
