"""The GPUs of this machine, as CUDA_VISIBLE_DEVICES names them, without torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from study.errors import StudyError

__all__ = ["Listing", "gpu_names", "listed_gpus", "visible_gpus"]

SECONDS = 10
"""For an answer of nvidia-smi, which takes a second; with a GPU that hangs it hangs too."""

GPU = re.compile(r"GPU (\d+): .*")
PART = re.compile(r"\s+MIG .*\(UUID: (MIG-[^)\s]+)\)")
BROKEN = "Unable to determine the device handle for"

ID = re.compile(r"(GPU|MIG)-\S+")
NOTHING = ("", "NoDevFiles", "none", "void")
"""What Slurm, containers and users write where there is to be no GPU; CUDA finds none then."""

WAY_OUT = "study run --device cpu, or CUDA_VISIBLE_DEVICES= in the environment, does without a GPU"


@dataclass(frozen=True)
class Listing:
    """What there is.

    Attributes
    ----------
    names: list of str
        The GPUs that may be used.
    notes: tuple of str
        Of each GPU that is left out, why.
    """

    names: list[str]
    notes: tuple[str, ...] = ()


def visible_gpus() -> list[str]:
    """Return the GPUs that may be used; see `listed_gpus`."""
    return listed_gpus().names


def listed_gpus() -> Listing:
    """Return the GPUs that CUDA_VISIBLE_DEVICES names, or else those that nvidia-smi lists.

    A machine without nvidia-smi has none.

    Raises
    ------
    StudyError
        If nvidia-smi fails, does not answer or says what nobody understands, and if CUDA would
        use other GPUs than the variable seems to name.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return Listing(_chosen(chosen))
    if shutil.which("nvidia-smi") is None:
        return Listing([])
    code, out, err = _ask("-L")
    names: list[str] = []
    parts: dict[str, list[str]] = {}
    notes = []
    # Without an error, what it says beside the list is a warning.
    beside = [line for line in err.splitlines() if code or line.startswith(BROKEN)]
    for line in filter(str.strip, [*out.splitlines(), *beside]):
        if gpu := GPU.fullmatch(line.rstrip()):
            names.append(gpu[1])
        elif names and (part := PART.fullmatch(line.rstrip())):
            parts.setdefault(names[-1], []).append(part[1])
        elif line.startswith(BROKEN):
            notes.append(f"a GPU is left out: nvidia-smi says: {line.strip()}")
        else:
            raise StudyError(f"nvidia-smi -L says {line.strip()!r}{_with(code)}. {WAY_OUT}")
    if not names:
        said = "; ".join(notes) or "nothing"
        raise StudyError(f"nvidia-smi -L lists no GPU{_with(code)}: {said}. {WAY_OUT}")
    if code and not notes:
        raise StudyError(f"nvidia-smi -L failed{_with(code)}, after {len(names)} GPUs. {WAY_OUT}")
    # CUDA calculates on the parts of a GPU that was divided, not on the whole.
    return Listing([each for name in names for each in parts.get(name, [name])], tuple(notes))


def gpu_names() -> list[str]:
    """Return what the GPUs of this machine are called, such as ``NVIDIA A100-SXM4-80GB``.

    Raises
    ------
    StudyError
        If nvidia-smi fails or does not answer.
    """
    if shutil.which("nvidia-smi") is None:
        return []
    code, out, err = _ask("--query-gpu=name", "--format=csv,noheader")
    if code:
        raise StudyError(f"nvidia-smi failed{_with(code)}: {(out + err).strip()}. {WAY_OUT}")
    return [line.strip() for line in out.splitlines() if line.strip()]


def _ask(*arguments: str) -> tuple[int, str, str]:
    """Return the exit code of nvidia-smi, and what it says on stdout and on stderr."""
    try:
        done = subprocess.run(
            ["nvidia-smi", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise StudyError(f"nvidia-smi gave no answer within {SECONDS} s. {WAY_OUT}") from None
    except OSError as error:
        raise StudyError(f"nvidia-smi cannot be run: {error.strerror}. {WAY_OUT}") from None
    return done.returncode, done.stdout, done.stderr


def _with(code: int) -> str:
    return f", with exit code {code}" if code else ""


def _chosen(text: str) -> list[str]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES names, where CUDA would take the same.

    CUDA takes entries up to the first that it does not understand, and none at all if one comes
    twice (https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#cuda-environment-variables).
    """
    if text.strip() in NOTHING:
        return []
    entries = [entry.strip() for entry in text.split(",")]
    if "-1" in entries:  # the documented way to hide what follows
        entries = entries[: entries.index("-1")]
    elif not entries[-1]:
        entries.pop()
    kinds = {_kind(entry) for entry in entries}
    for entry in entries:
        if not _kind(entry):
            wrong = f"CUDA does not understand {entry!r}, and looks no further"
            break
        if entries.count(entry) > 1:
            wrong = f"{entry} is there twice, so that CUDA finds no GPU"
            break
    else:
        if len(kinds) <= 1:
            return entries
        wrong = "CUDA takes numbers or ids, not both"
    raise StudyError(
        f"CUDA_VISIBLE_DEVICES={text}: {wrong}; give numbers such as 0,1, or ids as nvidia-smi -L"
        " shows them, or nothing for the CPU"
    )


def _kind(entry: str) -> str:
    if entry.isascii() and entry.isdecimal():
        return "number"
    known = ID.fullmatch(entry)
    return known[1] if known else ""
