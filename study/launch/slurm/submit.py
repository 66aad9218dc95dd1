"""From runs to arrays of jobs: each run once, and as many as the cluster takes."""

from __future__ import annotations

import itertools
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.errors import StudyError
from study.launch import snapshot
from study.launch.due import causes, claim
from study.launch.jobs import Answers
from study.launch.protocol import BadNode, Outcome, SchedulerAway
from study.launch.slurm.batch import FOLDER, Batch
from study.launch.slurm.command import Refused, Unreachable, call
from study.launch.slurm.profile import Profile, minutes
from study.launch.slurm.queue import Queue
from study.launch.slurm.script import parse_job_id, script
from study.runs.attempt import Attempt
from study.runs.folder import RunFolder

__all__ = ["Submission"]

Task = list[RunFolder]

PATIENCE = (0.0, 2.0, 5.0, 15.0)
"""Seconds to wait before each call of ``sbatch``, of which all but the first repeat it."""

FULL = re.compile(r"MaxSubmit|GrpSubmit|MaxJobCount", re.IGNORECASE)
"""What ``sbatch`` says when the queue takes no more jobs of this user."""

DEFAULT_ARRAY_SIZE = 1001


@dataclass
class Submission:
    """Submits runs whose folders are in `root`, on a disk that the compute nodes share.

    The parameters are those of `study.launch.protocol.Order`; the runs of a job share its cores,
    and get its GPUs in turn. Bad nodes are excluded, unless there are no others for such jobs.
    """

    root: Path
    profile: Profile
    pack: int
    packages: Sequence[str]
    tell: Callable[[str], object]
    bad: Sequence[BadNode] = ()

    def submit(self, folders: Sequence[RunFolder], said: Answers) -> Outcome:
        """Submit runs that nobody works on; see `study.launch.protocol.Launcher.submit`."""
        outcome = Outcome()
        code = snapshot.take(self.root / FOLDER / "code", self.packages, self.tell)
        arrays = self._arrays(folders, said)
        memories = [*dict.fromkeys(memory for memory, _, _ in arrays)]
        if memories and self.bad:
            self._leave_out(memories[0], code)
        for memory in memories:
            self._check(memory, code)
        full = False
        for memory, tasks, parallel in arrays:
            rest = tasks
            size = 0 if full or parallel == 0 else len(rest)
            while rest and size:
                if self._array(rest[:size], memory, parallel, code, said, outcome):
                    rest = rest[size:]
                else:
                    full = True
                if full:  # try how many more the queue takes: half as many each time
                    size //= 2
            outcome.waiting += itertools.chain.from_iterable(rest)
        return outcome

    def scripts(self, folders: Sequence[RunFolder], said: Answers) -> Iterator[str]:
        """Yield the scripts that `submit` would hand in; makes and claims nothing."""
        code = snapshot.folder_for(self.root / FOLDER / "code", self.packages)
        arrays = self._arrays(folders, said)
        self.profile = self._without(self.bad)
        for memory, tasks, parallel in arrays:
            if parallel != 0:
                batch = Batch.new(self.root)
                yield script(
                    batch.token, batch.path, len(tasks), parallel, memory, self.profile, code
                )

    def _without(self, bad: Sequence[BadNode]) -> Profile:
        """Return the profile with some nodes excluded, beside those that it excludes."""
        names = [self.profile.exclude, *(node.name for node in bad)]
        return self.profile.model_copy(update={"exclude": ",".join(filter(None, names)) or None})

    def _leave_out(self, memory: float | None, code: Path) -> None:
        """Exclude bad nodes, and say so."""
        asked = self.profile
        self.profile = self._without(self.bad)
        try:
            self._check(memory, code)
        except StudyError as error:
            self.profile = asked
            names = ", ".join(node.name for node in self.bad)
            self.tell(f"cannot leave out {names}: {error}")
            return
        for node in self.bad:
            self.tell(f"leaves out {node} (-o avoid=false takes it nevertheless)")

    def _arrays(
        self, folders: Sequence[RunFolder], said: Answers
    ) -> list[tuple[float | None, list[Task], int | None]]:
        """Return memory, tasks and tasks at a time of each array that the cluster takes."""
        longest = self._array_size()
        arrays = [
            (memory, part)
            for memory, tasks in self._groups(folders, said)
            for part in _parts(tasks, longest)
        ]
        shares = self._shares(len(arrays))
        return [(*array, share) for array, share in zip(arrays, shares, strict=True)]

    def _groups(
        self, folders: Sequence[RunFolder], said: Answers
    ) -> Iterator[tuple[float | None, list[Task]]]:
        """Yield tasks of at most `pack` runs, together with the memory that they need."""
        groups: dict[float | None, list[RunFolder]] = defaultdict(list)
        for folder in folders:
            ended = causes(folder, folder.condition(said.state), said)
            short = ended.count("oom host")
            groups[self.profile.memory(short)].append(folder)
        for memory, members in groups.items():
            yield memory, _parts(members, self.pack)

    def _array_size(self) -> int:
        """Ask how long an array may be: the limit is that of the index, which begins at 0."""
        try:
            found = re.search(r"MaxArraySize\s*=\s*(\d+)", call("scontrol", "show", "config"))
        except (Unreachable, Refused) as error:
            raise SchedulerAway(f"the scheduler does not answer: {error}") from None
        return int(found[1]) if found else DEFAULT_ARRAY_SIZE

    def _shares(self, arrays: int) -> list[int | None]:
        """Divide `max_parallel` among arrays; an array whose share is 0 is left for later."""
        most = self.profile.max_parallel
        if most is None or arrays == 0:
            return [None] * arrays
        return [most // arrays + (index < most % arrays) for index in range(arrays)]

    def _check(self, memory: float | None, code: Path) -> None:
        """Ask the cluster whether it would take such a job, before anything is claimed."""
        batch = Batch.new(self.root)
        batch.path.mkdir(parents=True)
        try:
            path = batch.path / "check.sh"
            path.write_text(script(batch.token, batch.path, 1, 1, memory, self.profile, code))
            call("sbatch", "--test-only", str(path))
        except Unreachable as error:
            raise SchedulerAway(f"the scheduler does not answer: {error}") from None
        except Refused as error:
            if not FULL.search(str(error)):
                raise StudyError(
                    f"the cluster refuses such a job: {error}. --dry-run shows what is asked for,"
                    " sinfo -R which nodes are down or drained, and refused for that"
                ) from None
        finally:
            shutil.rmtree(batch.path)
        self._check_time()

    def _check_time(self) -> None:
        """Refuse a time limit above the partition's, with which a job would wait for ever."""
        try:
            answer = call("sinfo", "--noheader", "--format=%P|%l")
        except (Unreachable, Refused):
            return
        limits = dict(line.strip().split("|", 1) for line in answer.splitlines() if "|" in line)
        default = next((name for name in limits if name.endswith("*")), "")
        partition = self.profile.partition or default.rstrip("*")
        limit = limits.get(partition, limits.get(f"{partition}*", "infinite"))
        if limit != "infinite" and self.profile.time > minutes(limit):
            raise StudyError(
                f"partition {partition} has a time limit of {limit}; the profile asks for "
                f"{self.profile.time} minutes"
            )

    def _array(
        self,
        tasks: Sequence[Task],
        memory: float | None,
        parallel: int | None,
        code: Path,
        said: Answers,
        outcome: Outcome,
    ) -> bool:
        """Claim runs and submit them as one array; False, and no claim, if they do not fit."""
        batch = Batch.new(self.root)
        claimed: list[list[tuple[RunFolder, Attempt]]] = []
        try:
            for task in tasks:
                claimed.append([])
                for run in task:
                    if attempt := claim(run, said):
                        claimed[-1].append((run, attempt))
            full = [cells for cells in claimed if cells]
            if full:
                options = {**self.profile.model_dump(mode="json"), "mem_gb": memory}
                batch.write(full, options, code)
                path = batch.path / "submission.sh"
                path.write_text(
                    script(batch.token, batch.path, len(full), parallel, memory, self.profile, code)
                )
        except BaseException:
            _release(claimed, batch)
            raise
        runs = [run for cells in full for run, _ in cells]
        mine = {run.path for run in runs}
        if full:
            try:
                job, adopted = self._sbatch(batch, path)
            except Refused as error:
                _release(claimed, batch)
                if FULL.search(str(error)):
                    return False
                raise StudyError(f"the cluster refuses the jobs: {error}") from None
            except Unreachable as error:
                self.tell(f"no answer about {batch.token}: {error}")
                outcome.unanswered[batch.token] = runs
            else:
                batch.know(job, adopted)
                outcome.jobs[job] = runs
        outcome.taken += [run for task in tasks for run in task if run.path not in mine]
        return True

    def _sbatch(self, batch: Batch, path: Path) -> tuple[str, bool]:
        """Hand in the script, once; return the job's id, and whether it had to be looked up.

        Raises
        ------
        Refused
            If the job is not in the queue.
        Unreachable
            If nobody knows whether it is.
        """
        trouble = None
        for seconds in PATIENCE:
            time.sleep(seconds)
            if seconds and (job := _find(batch.token)):
                return job, True
            try:
                answer = call("sbatch", str(path))
            except Refused:
                if trouble is None:
                    raise
                break  # perhaps since the queue has it already
            except Unreachable as error:
                self.tell(f"sbatch: {error}; looking whether it has the job nevertheless")
                trouble = error
                continue
            if job := parse_job_id(answer):
                return job, False
            trouble = Unreachable(f"sbatch answered {answer.strip()!r}")
        if job := _find(batch.token):
            return job, True
        assert trouble is not None
        raise trouble


def _parts(items: list[Any], size: int) -> list[list[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _release(claimed: Sequence[Sequence[tuple[RunFolder, Attempt]]], batch: Batch) -> None:
    """Give back what was claimed: no job will come for it."""
    for cells in claimed:
        for _, attempt in cells:
            shutil.rmtree(attempt.path, ignore_errors=True)
    shutil.rmtree(batch.path, ignore_errors=True)


def _find(token: str) -> str | None:
    """Return the id of the job of that name, None if there is none; Unreachable if none answers."""
    queue = Queue()
    queue.read_squeue([token])
    if not queue.answered:
        raise Unreachable("; ".join(queue.trouble))
    if not queue.tasks:
        queue.read_sacct([token], time.time())
    return next((task.job.partition("_")[0] for task in queue.tasks.values()), None)
