"""The process that measures on a GPU; the command needs no torch."""

from __future__ import annotations

import gc

from study.benchmarks.cases import Case
from study.benchmarks.devices.choice import DEVICES
from study.worker.parent import Parent

__all__ = ["serve"]


def serve(parent: Parent) -> None:
    """Say what the device is, and answer one request with an answer a setting."""
    request = parent.hear()
    device = DEVICES[request["device"]]()  # before the libraries: it may not be there
    parent.tell(device.name)
    from study.benchmarks.on_cuda.worker import measure

    # Collections between the measurements then pass over the libraries' own objects.
    gc.collect()
    gc.freeze()
    cases = [Case.from_json(fields) for fields in request["cases"]]
    for answers in measure(cases, device, request["rounds"], request["seconds"]):
        parent.tell(answers)
