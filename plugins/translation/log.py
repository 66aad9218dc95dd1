"""fairseq's log lines: into a file of the run, and out of everyone else's.

Importing fairseq 0.12 calls ``logging.basicConfig(level=DEBUG)`` among others, after which every
library in the process is loud on stderr.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["log_to", "root_logger_kept"]

LOGGERS = ("fairseq", "fairseq_cli", "plugins.translation")


@contextmanager
def root_logger_kept() -> Iterator[None]:
    """Put the root logger back as it was."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Append fairseq's and this package's lines, and all warnings, to the file `path` alone."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(
        logging.Formatter("%(asctime)s | %(levelname)s | %(name)s | %(message)s", "%F %T")
    )
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)

    def warned(message: Warning | str, category: type[Warning], *where: Any, **_: Any) -> None:
        logging.getLogger(__name__).warning("%s: %s", category.__name__, message)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = warned
            yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
        handler.close()
