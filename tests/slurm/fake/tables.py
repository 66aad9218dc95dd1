"""``squeue`` and ``sacct`` of the fake Slurm: the same columns and words as Slurm 22.05."""

from __future__ import annotations

import re
import time

from fake import state as queue
from fake.words import Options, fail

ID_WIDTH = 31  # squeue cuts a long `57_[0,2,4...` there, without a word; SLURM_BITSTR_LEN lifts it
YEAR = 365 * 24 * 3600
TITLES = {
    **{"i": "JOBID", "j": "NAME", "T": "STATE", "r": "REASON", "F": "ARRAY_JOB_ID", "u": "USER"},
    **{"K": "ARRAY_TASK_ID", "A": "JOBID", "V": "SUBMIT_TIME", "S": "START_TIME", "N": "NODELIST"},
    **{"e": "END_TIME", "P": "PARTITION", "a": "ACCOUNT", "k": "COMMENT", "D": "NODES"},
}
DEFAULT = "%.18i %.9P %.8j %.8u %.10T %.6D %r"


def squeue(words: list[str]) -> None:
    short = {"h": "noheader", "r": "array", "o": "format", "j": "jobs", "n": "name", "u": "user"}
    flags = "noheader array me all"
    options = Options(words, flags, {**short, "t": "states", "a": "all"})
    known = queue.read()
    shown = [(job, task) for job in known["jobs"] for task in job["tasks"] if not job["purged"]]
    if asked := options.list("jobs"):
        chosen = [pair for word in asked for pair in queue.select(known, word) or ()]
        if len(asked) == 1 and not chosen:
            fail("slurm_load_jobs error: Invalid job id specified")
        shown = [pair for pair in shown if pair in chosen]
    if "name" in options:
        shown = [(job, task) for job, task in shown if job["name"] in options.list("name")]
    states = options.list("states")
    if not states:
        shown = [(job, task) for job, task in shown if task["state"] not in queue.ENDED]
    elif states != ["all"]:
        shown = [(job, task) for job, task in shown if task["state"] in states]
    shape = options.get("format", DEFAULT)
    if "noheader" not in options:
        print(_fill(shape, TITLES.__getitem__))
    rows = _rows(shown, together="array" not in options)
    for job, tasks in sorted(rows, key=lambda row: row[1][0]["state"] != "PENDING"):
        print(_fill(shape, lambda sign, job=job, tasks=tasks: _cell(sign, job, tasks, known)))


def _rows(shown: list, together: bool) -> list[tuple[dict, list[dict]]]:
    """Put the tasks of an array that never started, and share a state, into one row."""
    rows: dict[tuple, tuple[dict, list[dict]]] = {}
    for place, (job, task) in enumerate(shown):
        waits = task["raw"] is None and task["index"] is not None
        key = (job["key"], task["state"], task["reason"]) if together and waits else (place,)
        rows.setdefault(key, (job, []))[1].append(task)
    return list(rows.values())


def _fill(shape: str, cell) -> str:
    def one(match: re.Match) -> str:
        text, width = cell(match[3]), int(match[2] or 0)
        if not width:
            return text
        return text[:width].rjust(width) if match[1] else text[:width].ljust(width)

    return re.sub(r"%(\.?)(\d*)(\w)", one, shape)


def _cell(sign: str, job: dict, tasks: list[dict], known: dict) -> str:
    task = tasks[0]
    if sign == "i":
        name = _name(job, tasks)
        return name[:ID_WIDTH] + known["faults"].get("dots", "") if len(name) > ID_WIDTH else name
    return {
        "j": job["name"],
        "T": task["state"],
        "r": task["reason"],
        "F": str(job["id"]),
        "K": _indices(job, tasks) if task["index"] is not None else "N/A",
        "A": str(task["raw"] or job["id"]),
        "V": _time(task["submit"], "N/A"),
        "S": _time(task["start"], "N/A"),
        "e": _end(task),
        "N": task["node"],
        "u": "root",
        "P": job["partition"],
        "a": job["account"],
        "k": job["options"].get("comment", "(null)"),
        "D": "1",
    }[sign]


def _end(task: dict) -> str:
    """Return the end, which for a running task is the one that its time limit sets."""
    if task["end"] is None and task["start"] is not None:
        return _time(task["start"] + YEAR, "")
    return _time(task["end"], "NONE" if task["past"] else "N/A")


def _indices(job: dict, tasks: list[dict]) -> str:
    text = queue.print_indices([task["index"] for task in tasks])
    several = len(tasks) > 1 and job["throttle"]
    return f"{text}%{job['throttle']}" if several else text


def _name(job: dict, tasks: list[dict], alone: bool = False) -> str:
    if tasks[0]["index"] is None:
        return str(job["id"])
    brackets = len(tasks) > 1 or alone
    return (
        f"{job['id']}_[{_indices(job, tasks)}]" if brackets else f"{job['id']}_{tasks[0]['index']}"
    )


def sacct(words: list[str]) -> None:
    short = {"n": "noheader", "X": "allocations", "P": "parsable2", "D": "duplicates", "j": "jobs"}
    short |= {"S": "starttime", "E": "endtime", "o": "format", "a": "allusers", "s": "state"}
    flags = "noheader allocations parsable2 duplicates allusers"
    if "--array" in words:
        fail("sacct: unrecognized option '--array'")
    options = Options(words, flags, {**short, "u": "user"})
    if not {"parsable2", "allocations"} <= set(options):
        fail("the fake sacct knows -X -P only", 2)
    known = queue.read()
    lag = known["faults"].get("sacct_lag", 0)
    shown = []
    for job in known["jobs"]:
        for task in job["tasks"]:
            attempts = [*task["past"], task] if "duplicates" in options else [task]
            shown += [(job, attempt) for attempt in attempts]
    shown = [(job, task) for job, task in shown if job["submit"] + lag <= time.time()]
    if asked := options.list("jobs"):
        chosen = [pair for word in asked for pair in _accounted(known, word)]
        shown = [(job, task) for job, task in shown if (job["key"], task["index"]) in chosen]
    if "name" in options:
        shown = [(job, task) for job, task in shown if job["name"] in options.list("name")]
    if not asked and "endtime" not in options:  # only what has become eligible
        shown = [(job, task) for job, task in shown if task["state"] != "PENDING"]
    fields = options.list("format") or ["JobID", "JobName", "State", "ExitCode"]
    rows = [_account(job, tasks) for job, tasks in _rows(shown, together=True)]
    for field in fields:
        if field.split("%")[0].lower() not in _account(None, []):
            fail(f'sacct: error: Invalid field requested: "{field}"')
    if "noheader" not in options:
        print("|".join(fields))
    for row in sorted(rows, key=lambda row: int(row["jobidraw"])):
        print("|".join(row[field.split("%")[0].lower()] for field in fields))


def _accounted(known: dict, word: str) -> list[tuple]:
    """Return key and index of what ``-j`` names: purged jobs too, one index only once started."""
    number, _, index = word.partition("_")
    pairs = [(job, task) for job in known["jobs"] for task in job["tasks"]]
    return [
        (job["key"], task["index"])
        for job, task in pairs
        if (job["id"] == int(number) and (not index or task["index"] == int(index)))
        or (not index and task["raw"] == int(number))
        if not index or task["raw"] is not None
    ]


def _account(job: dict | None, tasks: list[dict]) -> dict[str, str]:
    if job is None:
        job, tasks = (
            {"id": 0, "name": "", "partition": "", "account": ""},
            [queue.new_task(None, "")],
        )
    task = tasks[0]
    waits = task["raw"] is None
    by = " by 0" if task["state"] == "CANCELLED" else ""
    return {
        "jobid": _name(job, tasks, alone=waits),
        "jobidraw": str(task["raw"] or job["id"]),
        "jobname": job["name"],
        "state": task["state"] + by,
        "exitcode": task["exit"],
        "submit": _time(task["submit"], "Unknown"),
        "start": _time(task["start"], "Unknown"),
        "end": _time(task["end"], "Unknown"),
        "nodelist": task["node"] or "None assigned",
        "reason": task["reason"],
        "partition": job["partition"],
        "account": job["account"],
    }


def _time(seconds: float | None, unknown: str) -> str:
    if seconds is None:
        return unknown
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))
