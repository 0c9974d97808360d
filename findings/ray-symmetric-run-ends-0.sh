#!/usr/bin/env bash
# Ray 2.60.0: `ray symmetric-run` ends with exit code 0 where Ray could not be started and the command never ran.
#
# The exit code of the command is passed on, but a failed `ray start` is only printed ("Failed to start Ray"). A
# job of a batch system whose port is taken on the first node, or whose node misses a limit, counts as completed.
# No other Ray may run on this machine while this script does: symmetric-run refuses then, with exit code 1.
#
# Output seen: port taken: the command ran: no, exit code 0; command that fails: exit code 3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
install() {  # into the temporary folder, with uv if there is one
    if command -v uv > /dev/null; then
        uv venv --quiet "$folder/env" && uv pip install --quiet --python "$folder/env/bin/python" "$@"
    else
        python3 -m venv "$folder/env" && "$folder/env/bin/python" -m pip install --quiet "$@"
    fi
}
cd "$folder"
install 'ray[default]==2.60.0'
export PATH="$folder/env/bin:$PATH" RAY_USAGE_STATS_ENABLED=0
free_port() { python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
run() { ray symmetric-run --address "127.0.0.1:$1" --num-cpus 1 --include-dashboard=false -- bash -c "touch $folder/ran; exit 3"; }

code=0; run "$(free_port)" > "$folder/log" 2>&1 || code=$?
echo "command that fails: exit code $code"
test "$code" = 3 -a -e "$folder/ran" || { tail "$folder/log"; exit 1; }

rm "$folder/ran"
python -c 'import socket, time; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1], flush=True); time.sleep(600)' > "$folder/port" &
taker=$!
until test -s "$folder/port"; do sleep 0.1; done
code=0; run "$(cat "$folder/port")" > "$folder/log" 2>&1 || code=$?
kill "$taker"
ran=no; test ! -e "$folder/ran" || ran=yes
echo "port taken: the command ran: $ran, exit code $code"
grep -q 'Failed to start Ray' "$folder/log"
test "$ran $code" = "no 0" || { echo "the behaviour is no longer as described"; exit 1; }
