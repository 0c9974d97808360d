"""`python -m actors.head`: `ray start` for one machine alone. Its arguments are those of `ray start`.

Ray replaces a node's address 127.0.0.1 with that of the network, and then listens on every interface, unless
it is told that this system cannot form clusters: `LOOPBACK_ONLY`, which every process of this Ray inherits.
Ray's server for remote clients (`ray://`) is not started.
"""

import os
import sys

# Ray reads it when it is imported.
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def main() -> None:
    """Start Ray on this machine, and stay with --block."""
    os.environ.update(LOOPBACK_ONLY)
    from ray.scripts import scripts

    # `ray start` has no option for it: it leaves the server out only where its packages are not installed.
    absent = ImportError("not started by fo1-data")
    scripts.get_ray_client_dependency_error = lambda: absent  # type: ignore[attr-defined]
    scripts.start.main(["--head", *sys.argv[1:]], prog_name="ray start")


if __name__ == "__main__":
    main()
