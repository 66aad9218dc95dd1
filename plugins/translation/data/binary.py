"""Text in subword units as the binary data that fairseq loads."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from plugins.contracts.dataset import PrepareError
from plugins.translation.data.text import write

__all__ = ["binarise"]


def binarise(
    out: Path,
    languages: tuple[str, str],
    splits: Sequence[str],
    workers: int = 1,
    units: Sequence[str] = (),
) -> None:
    """Run fairseq-preprocess on ``<split>.spm.<language>``; write ``bin``.

    Both languages share one dictionary: of the units that stand in ``train``, or of all `units`.
    Byte-pair units that train has only within longer ones are not in the former. In a small set,
    that are most of what another text needs.

    Parameters
    ----------
    out: Path
        Folder of the text, and of ``bin``.
    languages: (str, str)
        Source and target.
    splits: sequence of str
        Of train, valid and test.
    workers: int
        Processes that share the work; the result does not depend on their number.
    units: sequence of str
        The dictionary.

    Raises
    ------
    PrepareError
        If fairseq fails or is not installed.
    OSError
        If the disk is full.
    """
    destination = out / "bin"
    command = [sys.executable, "-m", "fairseq_cli.preprocess"]
    command += ["--source-lang", languages[0], "--target-lang", languages[1]]
    command += ["--joined-dictionary", "--workers", str(workers), "--destdir", str(destination)]
    for name in splits:
        command += [f"--{name}pref", str(out / f"{name}.spm")]
    dictionary = out / "units.txt"
    if units:
        write(dictionary, (f"{unit} 1" for unit in units))
        command += ["--srcdict", str(dictionary)]
    # It has its own process, because importing fairseq changes the logging of a whole process.
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    if done.returncode:
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(destination))
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise PrepareError(f"fairseq-preprocess failed: {last[0]}; is fairseq installed?")
    # The file has times and temporary paths; with it every copy of the data set would differ.
    (destination / "preprocess.log").unlink(missing_ok=True)
    dictionary.unlink(missing_ok=True)
