"""What a process calculates on: the device that was asked for, or a sentence that says why not.

Every process that trains, probes or evaluates for a task begins here, whosever the task is. A
framework alone would take the CPU where it finds no GPU, and a GPU where it finds one, whatever was
asked for.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from study.errors import StudyError

__all__ = ["found", "use"]

ON_GPU_ALONE = ("float16",)
"""Values of a recipe's ``precision`` that train on a GPU alone."""


def use(device: str, recipe: Any = None) -> str | None:
    """Let this process calculate on a device; return the name of its GPU, None on a CPU.

    Parameters
    ----------
    device: str
        ``cpu`` or ``cuda``. For ``cpu`` the GPUs are hidden from this process.
    recipe: object, optional
        Of the training that is to follow; its ``precision``, if it has one, must suit the device.

    Raises
    ------
    StudyError
        If there is no such device, or none for that precision.
    """
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        precision = getattr(recipe, "precision", None)
        if precision in ON_GPU_ALONE:
            raise StudyError(f"precision {precision} needs a GPU; a CPU has bfloat16 and float32")
        return None
    if device != "cuda":
        raise StudyError(f"--device {device}: the devices are cpu and cuda")
    names = found()
    # As `plugins.training.distributed.gpu` chooses among those that a process can see.
    return names[int(os.environ.get("LOCAL_RANK", "0")) % len(names)]


def found() -> list[str]:
    """Return the names of the GPUs that torch can use here, in its order.

    Raises
    ------
    StudyError
        If torch can use none; the message says what stands in the way.
    """
    torch = importlib.import_module("torch")
    if torch.version.cuda is None and torch.version.hip is None:
        raise StudyError(
            f"the device is cuda, but torch finds no GPU: torch {torch.__version__} is built"
            " without CUDA. Install a build with CUDA; --device cpu does without a GPU"
        )
    try:
        # Unlike `is_available`, names cannot be had without the driver that calculations need.
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise StudyError(
            f"the device is cuda, but torch cannot use the GPU: {reason}. --device cpu does"
            " without one"
        ) from None
    if not names:
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        seen = "" if chosen is None else f" with CUDA_VISIBLE_DEVICES={chosen}"
        raise StudyError(
            f"the device is cuda, but torch finds no GPU{seen}. Look at nvidia-smi and the driver;"
            " --device cpu does without a GPU"
        )
    return names
