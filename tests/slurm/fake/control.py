"""``scancel``, ``scontrol`` and ``sinfo`` of the fake Slurm."""

from __future__ import annotations

import re
import sys
import time

from fake import state as queue
from fake.words import Options, fail

NODES = 4


def scancel(words: list[str]) -> None:
    """Cancel at once. A pending task that is cancelled alone leaves no trace, as in Slurm."""
    flags = "me quiet verbose full batch"
    short = {"n": "name", "u": "user", "t": "state", "v": "verbose", "Q": "quiet", "f": "full"}
    options = Options(words, flags, {**short, "b": "batch", "s": "signal"})
    with queue.change() as state:
        state.setdefault("calls", []).append(["scancel", *words])
        everything = [(job, task) for job in state["jobs"] for task in job["tasks"]]
        chosen = everything
        if options.rest:
            chosen = [pair for word in options.rest for pair in queue.select(state, word) or ()]
        if "name" in options:
            chosen = [(job, task) for job, task in chosen if job["name"] in options.list("name")]
        if "state" in options:
            chosen = [(job, task) for job, task in chosen if task["state"] in options.list("state")]
        if not options.rest and not {"name", "user", "me", "state"} & set(options):
            fail("scancel: error: No job identification provided")
        if "signal" in options:
            return
        alone = {word.partition("_")[0] for word in options.rest if "_" in word}
        for job, task in chosen:
            if task["state"] in queue.ENDED:
                continue
            if task["state"] == "PENDING" and str(job["id"]) in alone and not task["past"]:
                job["tasks"].remove(task)
            else:
                began = task["start"] is not None
                queue.end(task, "CANCELLED", "0:15" if began else "0:0")
                task["start"] = task["start"] or task["end"]


def scontrol(words: list[str]) -> None:
    options = Options(words, "oneliner verbose quiet details", {"o": "oneliner", "d": "details"})
    verb, *rest = options.rest
    if [verb, *rest][:2] == ["show", "config"]:
        print(f"MaxArraySize            = {queue.MAX_ARRAY_SIZE}\nMessageTimeout          = 10 sec")
    elif [verb, *rest][:2] in (["show", "job"], ["show", "jobs"]):
        _show_jobs(rest[1] if len(rest) > 1 else None)
    elif verb in ("requeue", "requeuehold"):
        _requeue(rest[0], held=verb == "requeuehold")
    elif verb in ("hold", "release"):
        _set_reason(rest[0], "JobHeldUser" if verb == "hold" else "None")
    elif verb == "update":
        fields = dict(word.split("=", 1) for word in rest)
        _set_reason(fields.get("JobId") or fields["jobid"], "None")
    else:
        fail(f"the fake scontrol does not know {' '.join(options.rest)}", 2)


def _show_jobs(word: str | None) -> None:
    state = queue.read()
    everything = [(j, t) for j in state["jobs"] for t in j["tasks"] if not j["purged"]]
    chosen = everything if word is None else queue.select(state, word)
    if chosen is None:
        if word and "_" in word and queue.job_with_id(state, int(word.split("_")[0])):
            print(f"Job {word} not found")
            sys.exit(1)
        fail("slurm_load_jobs error: Invalid job id specified")
    pending = [task["index"] for _, task in chosen if task["raw"] is None]
    told = False
    for job, task in chosen:
        waits = task["raw"] is None and task["index"] is not None
        if waits and told:
            continue
        told = told or waits
        index = task["index"]
        if waits:
            index = queue.print_indices(pending)
            if job["throttle"] and len(pending) > 1:
                index += f"%{job['throttle']}"
        array = {} if index is None else {"ArrayJobId": job["id"], "ArrayTaskId": index}
        fields = {
            **{"JobId": task["raw"] or job["id"], **array, "JobName": job["name"]},
            **{"UserId": "root(0)", "Account": job["account"], "JobState": task["state"]},
            **{"Reason": task["reason"], "Requeue": 1, "Restarts": task["restarts"]},
            **{"ExitCode": task["exit"], "SubmitTime": _time(task["submit"])},
            **{"StartTime": _time(task["start"]), "EndTime": _time(task["end"])},
            **{"PreemptTime": job.get("preempt_time", "None"), "Partition": job["partition"]},
            **{"NodeList": task["node"], "BatchHost": task["node"], "WorkDir": job["folder"]},
        }
        print(" ".join(f"{name}={value}" for name, value in fields.items()))


def _requeue(word: str, held: bool) -> None:
    with queue.change() as state:
        state.setdefault("calls", []).append(["scontrol", "requeue", word])
        chosen = queue.select(state, word)
        if chosen is None:
            fail(f"Invalid job id specified for job {word}")
        for _, task in chosen:
            if task["state"] == "PENDING":
                print(f"Job is pending execution for job {word}")
                continue
            queue.requeue(task)
            if held:
                task["reason"] = "JobHeldAdmin"


def _set_reason(word: str, reason: str) -> None:
    with queue.change() as state:
        for _, task in queue.select(state, word) or ():
            if task["state"] == "PENDING":
                task["reason"] = reason


def sinfo(words: list[str]) -> None:
    short = {"h": "noheader", "o": "format", "N": "Node", "p": "partition", "t": "states"}
    options = Options(words, "noheader Node", {**short, "n": "nodes"})
    shape = options.get("format", "%P %a %l %D %T %N")
    titles = {"P": "PARTITION", "a": "AVAIL", "l": "TIMELIMIT", "D": "NODES", "T": "STATE"}
    titles |= {"N": "NODELIST", "G": "GRES", "m": "MEMORY", "c": "CPUS"}
    rows = [] if "noheader" in options else [titles]
    for name, limit in queue.PARTITIONS.items():
        if "partition" not in options or name in options.list("partition"):
            star = "*" if name == "normal" else ""
            row = {"P": name + star, "a": "up", "l": limit, "D": str(NODES), "T": "idle"}
            rows.append({**row, "N": "gpu[1-4]", "G": "gpu:2", "m": "6000", "c": "2"})
    for row in rows:
        print(re.sub(r"%\.?\d*(\w)", lambda sign, row=row: row[sign[1]], shape))


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "Unknown"
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))
