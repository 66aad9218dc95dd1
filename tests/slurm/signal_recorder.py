"""A task that notes which signals reach it, and does not end on any that it can catch."""

import os
import signal
import sys
import time

START = time.monotonic()


def note(*words):
    print(f"{time.monotonic() - START:.1f}", *words, file=OUTPUT, flush=True)


if __name__ == "__main__":
    with open(sys.argv[1], "a") as OUTPUT:  # noqa: PTH123 -- starts sooner without pathlib
        for number in (signal.SIGTERM, signal.SIGCONT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda number, _: note(signal.Signals(number).name))
        note("start", os.environ.get("SLURM_RESTART_COUNT", "0"))
        while True:
            time.sleep(0.1)
