"""What a run asks a cluster for: a named profile, checked before anything is queued."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from study.errors import StudyError, nearest
from study.launch.protocol import launcher_names
from study.launch.slurm import options as sbatch_options
from study.launch.slurm.batch import NAME
from study.launch.tariff import Tariff, price
from study.yamlfile import YamlFile

__all__ = ["Profile", "load", "minutes", "names"]

MEMORY_FACTOR = 1.5  # by which the memory grows after a run that had too little


def minutes(value: Any) -> int:
    """Read a time limit as Slurm does: minutes, M:S, H:M:S, D-H, D-H:M, D-H:M:S."""
    text = str(value).strip()
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if not match:
        raise ValueError(f"{text!r} is no time: 90 (minutes), 8:00:00 or 2-12:00:00 would be")
    days, first, second, third = (int(part) if part else 0 for part in match.groups())
    if match[1]:
        seconds = days * 86400 + first * 3600 + second * 60 + third
    elif match[4]:
        seconds = first * 3600 + second * 60 + third
    else:
        seconds = first * 60 + second
    if seconds <= 0:
        raise ValueError("a time limit is longer than nothing")
    return -(-seconds // 60)


def _line(value: Any) -> str:
    text = str(value)
    if isinstance(value, dict | list) or not text or not text.isprintable() or text != text.strip():
        raise ValueError("one line without spaces around it is expected")
    return text


def _gpus(value: Any) -> int | str:
    """Return a number of GPUs, as it is or behind their type, as of ``--gpus-per-node``."""
    match = re.fullmatch(r"(?:([A-Za-z][\w.-]*):)?(\d+)", str(value))
    if isinstance(value, bool) or not match or (match[1] and int(match[2]) == 0):
        raise ValueError(f"{value!r} is not a valid integer, nor a type and one: 2, a100:2")
    return f"{match[1]}:{int(match[2])}" if match[1] else int(match[2])


def _option(value: Any) -> str | bool:
    if value is None:
        raise ValueError("needs a value: true for an option without one, false to leave it out")
    return value if isinstance(value, bool) else value == "" or _line(value)


Line = Annotated[str, BeforeValidator(_line)]
Gpus = Annotated[int | str, BeforeValidator(_gpus)]
Option = Annotated[str | bool, BeforeValidator(_option)]


class Profile(BaseModel):
    """Resources of one job, and how it is set up.

    Attributes
    ----------
    partition, account, qos, constraint, exclude, reservation: str, optional
        As in sbatch.
    time: int
        Limit in minutes; written as sbatch takes it.
    nodes: int
        Nodes a job.
    gpus: int or str
        GPUs a node, 2 or with their type ``a100:2``; 0 trains on CPUs.
    tasks: int, optional
        Processes a node that train one run together; one a GPU by default.
    cpus: int, optional
        Cores a process.
    mem_gb, max_mem_gb: float, optional
        Memory a node. A run that ends for want of it is submitted again with half as much more, up
        to the second number.
    signal_seconds: int
        How long before the time limit the runs are told to leave a checkpoint.
    requeue: bool
        Whether a job whose time is up goes back into the queue by itself.
    avoid: bool
        Whether nodes on which runs end at once are left out, beside those of `exclude`.
    max_parallel: int, optional
        Jobs at a time.
    setup: list of str
        Shell lines before the work, such as ``module load cuda``.
    price_per_gpu_hour: str, optional
        A number and a unit, ``1.20 EUR``, for what a plan costs.
    watts_per_gpu: float, optional
        The power that a GPU draws, for the same.
    sbatch: dict
        Further options of sbatch, by their long name; ``true`` for one without a value, which
        ``false`` leaves out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    partition: Line | None = None
    account: Line | None = None
    qos: Line | None = None
    constraint: Line | None = None
    exclude: Line | None = None
    reservation: Line | None = None
    time: Annotated[int, BeforeValidator(minutes)] = 60
    nodes: int = Field(1, ge=1)
    gpus: Gpus = 0
    tasks: int | None = Field(None, ge=1)
    cpus: int | None = Field(None, ge=1)
    mem_gb: float | None = Field(None, gt=0)
    max_mem_gb: float | None = Field(None, gt=0)
    signal_seconds: int = Field(120, ge=20)
    requeue: bool = True
    avoid: bool = True
    max_parallel: int | None = Field(None, ge=1)
    setup: list[str] = Field(default_factory=list)
    price_per_gpu_hour: Annotated[tuple[float, str], BeforeValidator(price)] | None = None
    watts_per_gpu: float | None = Field(None, gt=0)
    sbatch: dict[str, Option] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        for name, value in self.sbatch.items():
            if reason := sbatch_options.refuse(name, value, self.__dict__):
                raise ValueError(f"sbatch.{name}: {reason}")
        if self.max_mem_gb and (not self.mem_gb or self.max_mem_gb < self.mem_gb):
            raise ValueError("max_mem_gb goes with a mem_gb that is not above it")
        if self.signal_seconds >= 60 * self.time:
            raise ValueError(
                f"signal_seconds ({self.signal_seconds}) leaves nothing of the time limit "
                f"({self.time} min)"
            )
        return self

    @property
    def gpus_a_node(self) -> int:
        """The number in `gpus`."""
        return int(str(self.gpus).rpartition(":")[2])

    @property
    def processes(self) -> int:
        """Processes that train one run together."""
        return self.nodes * (self.tasks or max(1, self.gpus_a_node))

    def one_gpu(self) -> int | str:
        """Return `gpus` for a job that needs one at most."""
        kind, colon, number = str(self.gpus).rpartition(":")
        return f"{kind}:1" if colon else min(int(number), 1)

    @property
    def gpu_hours(self) -> float:
        """What a job may use of GPUs up to its time limit."""
        return self.node_hours * self.gpus_a_node

    @property
    def node_hours(self) -> float:
        """What a job may use of nodes up to its time limit."""
        return self.nodes * self.time / 60

    @property
    def tariff(self) -> Tariff:
        """What GPU-hours cost, as far as the profile says it."""
        amount, unit = self.price_per_gpu_hour or (None, "")
        return Tariff(amount, unit, self.watts_per_gpu)

    def memory(self, failures: int) -> float | None:
        """Gigabytes a node for a run of which so many attempts had too little."""
        if self.mem_gb is None:
            return None
        return min(self.mem_gb * MEMORY_FACTOR**failures, self.max_mem_gb or self.mem_gb)


def _file() -> tuple[Path, YamlFile | None]:
    """Return where profiles are kept, and what is there."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    path = Path(base).expanduser() / "study" / "clusters.yaml"
    return path, YamlFile(path, "a file of profiles") if path.exists() else None


def _as_written(file: YamlFile, location: list[Any], content: Any) -> Any:
    """Return what is at a location of the file with the text of each scalar in place of its value.

    The account ``680841e1`` is no float, and ``3.10`` no other partition than the file says.
    """
    if isinstance(content, dict):
        return {key: _as_written(file, [*location, key], each) for key, each in content.items()}
    if isinstance(content, list):
        return [_as_written(file, [*location, i], each) for i, each in enumerate(content)]
    return content if content is None else file.text(location) or content


def names() -> list[str]:
    """Return the names of the profiles."""
    _, file = _file()
    return sorted({NAME, *map(str, file.content if file else ())})


def load(name: str, options: Sequence[str] = ()) -> Profile:
    """Return the profile `name`, with ``KEY=VALUE`` in `options` in place of what it says.

    ``sbatch.KEY=VALUE`` is an option of sbatch, one without a value if that is empty.
    The profile ``slurm`` exists without a file too, with the cluster's own defaults.

    Raises
    ------
    StudyError
        With file, line, what is wrong and the nearest valid name.
    """
    path, file = _file()
    profiles = file.content if file else {}
    if name not in profiles and name != NAME:
        where = f"{path} has no profile" if file else f"no file {path} with a profile"
        raise StudyError(f"{where} {name!r}{nearest(name, {*profiles, *launcher_names()})}")
    fields = profiles.get(name) or {}
    if not isinstance(fields, dict):
        assert file is not None
        raise StudyError(f"{file.where([name])}: a profile is a mapping of keys to values")
    if file is not None:
        fields = _as_written(file, [name], fields)
    given: dict[str, Any] = {}
    told: set[str] = set()
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise StudyError(f"--option {option}: KEY=VALUE is expected, such as time=2:00:00")
        told.add(key)
        if key.startswith("sbatch."):
            named = fields.get("sbatch")
            given.setdefault("sbatch", dict(named) if isinstance(named, dict) else {})
            given["sbatch"][key[7:]] = value
        else:
            given[key] = value
    try:
        return Profile.model_validate({**fields, **given})
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            location: list[Any] = list(problem["loc"])
            key = ".".join(map(str, location))
            text = problem["msg"].removeprefix("Value error, ")
            # What the validator of all fields says begins with the key that it is about.
            location = location or text.partition(":")[0].split(".", 1)
            ours = not told.isdisjoint([location[0], ".".join(map(str, location))])
            where = "--option" if ours or file is None else file.where([name, *location])
            if problem["type"] == "extra_forbidden":
                close = difflib.get_close_matches(key, Profile.model_fields, n=1)
                text = "unknown key" + nearest(key, close or Profile.model_fields)
            lines.append(f"{where}: {f'{key}: ' if key else ''}{text}")
        raise StudyError("\n".join(lines)) from None
