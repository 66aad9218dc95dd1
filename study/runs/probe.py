"""What a few steps of a configuration took: ``.probes/`` beside the run folders.

A probe is one small file for each configuration, number of processes and device. It is no run and
no result: no reading verb takes it for one.
"""

from __future__ import annotations

import functools
import re
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.errors import StudyError
from study.files import read_json, write_json
from study.runs.run import Run, default_root
from study.units import gibi

__all__ = ["FAILED", "FOLDER", "MEASURED", "MISFIT", "SCHEMA", "Probe", "Probes", "cells"]

SCHEMA = 1  # the newest that this code reads

FOLDER = ".probes"

MEASURED, MISFIT, FAILED = "measured", "does not fit", "failed"
"""What can come of a probe."""


@dataclass(frozen=True)
class Probe:
    """One file.

    Attributes
    ----------
    record: dict
        ``schema``; ``configuration`` (the hash of the science configuration without its seed),
        ``label``, ``grid``, ``science``; ``processes`` that share the recipe's batch; ``cluster``,
        the profile that it was probed through, or None; ``outcome`` and ``error``; ``device``
        (``kind``, ``name``, ``memory_bytes``, ``threads``), ``torch``, ``cuda``, ``commit``,
        ``dirty``, ``time`` (seconds since the epoch); if it was measured ``probed``, the fields of
        :class:`plugins.contracts.probe.Probed`, and ``resident_bytes``, the most that the process
        had of the host's memory.
    """

    record: dict[str, Any]

    @property
    def outcome(self) -> str:
        """`MEASURED`, `MISFIT` or `FAILED`."""
        return str(self.record["outcome"])

    @property
    def label(self) -> str:
        """The configuration, for people."""
        return str(self.record["label"])

    @property
    def processes(self) -> int:
        """Among how many processes the recipe's batch was shared."""
        return int(self.record["processes"])

    @property
    def cluster(self) -> str | None:
        """The profile that it was probed through."""
        return self.record["cluster"]

    @property
    def time(self) -> float:
        """When, in seconds since the epoch."""
        return float(self.record["time"])

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU made the steps."""
        return bool(self.record["device"]["kind"] == "cuda")

    @property
    def device(self) -> str:
        """Name of the GPU or of the processor."""
        return str(self.record["device"]["name"])

    @property
    def milliseconds(self) -> float:
        """Of a step, the median."""
        return float(statistics.median(self.record["probed"]["milliseconds"]))

    @property
    def steps(self) -> int:
        """How many that is the median of."""
        return len(self.record["probed"]["milliseconds"])

    @property
    def memory(self) -> int:
        """The most memory taken, in bytes: of the GPU, or of the host by a CPU's process."""
        reserved = self.record["probed"]["reserved_bytes"]
        return int(reserved if reserved is not None else self.record["resident_bytes"])

    @property
    def where(self) -> str:
        """Device and its memory, for people."""
        size = self.record["device"]["memory_bytes"]
        threads = self.record["device"]["threads"]
        more = f"{gibi(size)} GiB" if self.on_gpu else f"{threads} threads"
        return f"{self.device} ({more})"


class Probes:
    """The probes beside a folder of runs; a file is read once, when it is asked for.

    Parameters
    ----------
    runs: Path, optional
        The folder of runs, by default the default one. That of ``--smoke`` runs is new each time,
        so their probes are beside the others too.
    """

    def __init__(self, runs: Path | None = None) -> None:
        self.folder = (runs or default_root()) / FOLDER
        self._known: dict[str, list[Probe]] = {}

    @functools.cached_property
    def _files(self) -> dict[str, list[Path]]:
        found = defaultdict(list)
        for path in sorted(self.folder.glob("[!.]*.json")):
            found[path.name.split(".")[-4][-16:]].append(path)
        return found

    def of(self, run: Run) -> list[Probe]:
        """Return all probes of a run's configuration, the newest last."""
        name = run.configuration
        if name not in self._known:
            found = [_read(path) for path in self._files.get(name, ())]
            self._known[name] = sorted(found, key=lambda probe: probe.time)
        return self._known[name]

    def best(
        self, run: Run, cluster: str | None = None, processes: int | None = None
    ) -> Probe | None:
        """Return the probe to judge a run by; None if nothing is known.

        One through the profile `cluster` is preferred, then one with as many processes, then one on
        a GPU, then the newest.
        """
        known = [probe for probe in self.of(run) if probe.outcome != FAILED]

        def rank(probe: Probe) -> tuple[bool, bool, bool, float]:
            there = cluster is not None and probe.cluster == cluster
            return there, probe.processes == processes, probe.on_gpu, probe.time

        return max(known, key=rank, default=None)

    def write(self, record: dict[str, Any]) -> Probe:
        """Keep a record, in place of the one of the same configuration, processes and device."""
        device = re.sub(r"[^A-Za-z0-9]+", "-", record["device"]["name"]).strip("-")
        name = f"{record['label']}-{record['configuration']}.{device}.x{record['processes']}.json"
        write_json(self.folder / name, record)
        vars(self).pop("_files", None)
        self._known.clear()
        return Probe(record)


def cells(runs: Sequence[Run]) -> list[Run]:
    """Return one run of each configuration: seeds share a probe."""
    return list({run.configuration: run for run in reversed(runs)}.values())[::-1]


def _read(path: Path) -> Probe:
    record = read_json(path) or {}
    schema = record.get("schema", 0)
    if schema > SCHEMA:
        raise StudyError(f"{path}: schema {schema} is newer than {SCHEMA}; update this program")
    return Probe(record)
