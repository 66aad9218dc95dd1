"""The options of ``sbatch``, and which of them a profile may not set."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from functools import cache

from study.errors import nearest
from study.launch.slurm.command import Refused, Unreachable, call

__all__ = ["refuse", "written"]

# https://slurm.schedmd.com/archive/slurm-22.05-latest/sbatch.html: `=` where a value must follow,
# `[=]` where it may.
_KNOWN = """
    --acctg-freq= --array= --account= --batch= --bb= --bbf= --begin= --chdir= --cluster-constraint=
    --clusters= --comment= --constraint= --container= --contiguous --core-spec= --cores-per-socket=
    --cpu-freq= --cpus-per-gpu= --cpus-per-task= --deadline= --delay-boot= --dependency=
    --distribution= --error= --exclude= --exclusive[=] --export= --export-file= --extra-node-info=
    --get-user-env[=] --gid= --gpu-bind= --gpu-freq= --gpus= --gpus-per-node= --gpus-per-socket=
    --gpus-per-task= --gres= --gres-flags= --help --hint= --hold --ignore-pbs --input= --job-name=
    --kill-on-invalid-dep= --licenses= --mail-type= --mail-user= --mcs-label= --mem= --mem-bind=
    --mem-per-cpu= --mem-per-gpu= --mincpus= --network= --nice[=] --no-kill[=] --no-requeue
    --nodefile= --nodelist= --nodes= --ntasks= --ntasks-per-core= --ntasks-per-gpu=
    --ntasks-per-node= --ntasks-per-socket= --open-mode= --output= --overcommit --oversubscribe
    --parsable --partition= --power= --prefer= --priority= --profile= --propagate[=] --qos= --quiet
    --reboot --requeue --reservation= --signal= --sockets-per-node= --spread-job --switches=
    --tasks-per-node= --test-only --thread-spec= --threads-per-core= --time= --time-min= --tmp=
    --uid= --usage --use-min-nodes --verbose --version --wait --wait-all-nodes= --wckey= --wrap=
"""

_LETTERS = {
    "A": "account", "B": "extra-node-info", "C": "constraint", "D": "chdir", "F": "nodefile",
    "G": "gpus", "H": "hold", "J": "job-name", "L": "licenses", "M": "clusters", "N": "nodes",
    "O": "overcommit", "Q": "quiet", "S": "core-spec", "V": "version", "W": "wait",
    "a": "array", "b": "begin", "c": "cpus-per-task", "d": "dependency", "e": "error",
    "h": "help", "i": "input", "k": "no-kill", "m": "distribution", "n": "ntasks", "o": "output",
    "p": "partition", "q": "qos", "s": "oversubscribe", "t": "time", "v": "verbose",
    "w": "nodelist", "x": "exclude",
}  # fmt: skip
"""Long names of the short options."""

_KEYS = {
    **{name: name for name in ("account", "constraint", "exclude", "nodes", "partition")},
    **{name: name for name in ("qos", "requeue", "reservation", "time")},
    **dict.fromkeys(("gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task"), "gpus"),
    **dict.fromkeys(("ntasks", "ntasks-per-node", "ntasks-per-gpu", "tasks-per-node"), "tasks"),
    "array": "max_parallel",
    "cpus-per-task": "cpus",
    "no-requeue": "requeue",
    "signal": "signal_seconds",
}
"""Keys of a profile from which the launcher writes these options."""

_OURS = "set by the launcher, which finds jobs and their logs by it"
_ELSEWHERE = "squeue, sacct and scontrol, asked here, would not know the jobs"
_ANSWER = "the launcher reads what sbatch answers"
_NOTHING = "nothing would be queued"
_REASONS = {
    **dict.fromkeys(("error", "job-name", "open-mode", "output"), _OURS),
    **dict.fromkeys(("cluster-constraint", "clusters"), _ELSEWHERE),
    **dict.fromkeys(("parsable", "quiet"), _ANSWER),
    **dict.fromkeys(("help", "test-only", "usage", "version"), _NOTHING),
    "chdir": "jobs find their files by absolute names; a `cd` belongs into the profile's setup",
    "no-kill": "a run whose node has failed would hold the others",
    "wait": "sbatch would not return before the jobs have ended; study watch waits for them",
    "wrap": "the launcher hands in a script of its own",
}
"""Why what is no key of a profile cannot be set either."""

_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


def refuse(name: str, value: str | bool, fields: Mapping[str, object]) -> str | None:
    """Say why a profile cannot have this option, and what would be right; None if it can.

    Parameters
    ----------
    name: str
        The long name.
    value: str or bool
        As written; True for an option without one.
    fields: mapping
        The profile's own keys that are set.
    """
    if name in _LETTERS:
        long = _LETTERS[name]
        return refuse(long, value, fields) or f"options have their long name here: {long}"
    if (reason := _REASONS.get(name)) is not None:
        return reason
    if (key := _KEYS.get(name)) is not None:
        return f"set by the launcher; use `{key}:` of the profile"
    if name not in _kinds() and name not in _here():
        return f"no option of sbatch{nearest(name, _kinds())}"
    if name == "gres" and (gpus := re.findall(r"(?:^|,)(?:gres:)?gpu(?::([^,(]+))?", str(value))):
        return f"a run would not know of its GPUs; use `gpus: {gpus[0] or 1}` of the profile"
    if name in ("mem", "mem-per-cpu", "mem-per-gpu") and fields.get("mem_gb"):
        return "the profile's mem_gb says how much memory; leave one of them out"
    if name == "cpus-per-gpu" and fields.get("cpus"):
        return "the profile's cpus says how many cores; leave one of them out"
    kind = _kind(name)
    if kind == "" and str(value).lower() not in (*_TRUE, *_FALSE):
        return f"takes no value; `{name}: true` sets it"
    if kind == "=" and isinstance(value, bool):
        return "needs a value"
    return None


def written(name: str, value: str | bool) -> str | None:
    """Return the option as a line of a script has it; None if its value says that it is not set."""
    text = str(value)
    if _kind(name) != "=":
        if text.lower() in _FALSE:
            return None
        if text.lower() in _TRUE:
            return f"--{name}"
    return f"--{name}={shlex.quote(text)}"


def _kind(name: str) -> str:
    return _kinds()[name] if name in _kinds() else _here()[name]


def _read(text: str) -> dict[str, str]:
    """Return the long options in a text, and whether a value follows: ``=``, ``[=``, or not."""
    return dict(re.findall(r"--([a-z][a-z0-9-]+)(\[?=)?", text))


@cache
def _kinds() -> dict[str, str]:
    return _read(_KNOWN)


@cache
def _here() -> dict[str, str]:
    """Return the options of the installed ``sbatch``, which may be newer or have plugins'."""
    try:
        return _read(call("sbatch", "--help"))
    except (Unreachable, Refused):
        return {}
