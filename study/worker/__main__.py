"""``python -m study.worker``: carry out one attempt, see :mod:`study.worker.main`."""

import os
import sys

from study.worker.main import main

if __name__ == "__main__":
    # A framework's threads or data-loader workers must not keep a finished run from ending.
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
