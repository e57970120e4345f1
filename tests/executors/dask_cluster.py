"""A Dask cluster as a program, which tests kill: one worker. Prints its address, and ends when its input does."""

from __future__ import annotations

import sys

import distributed


def main(port: str = "0") -> None:
    """Have the scheduler at this port, or at any."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", scheduler_port=int(port)
    ) as made:
        print(made.scheduler_address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
