"""A real Slurm on this machine, for as long as the tests take.

By hand, to try something: ``python tests/slurm/cluster.py`` starts it, says which SLURM_CONF to
export, and runs until Ctrl-C. Everything it writes is in one folder under /tmp. It needs Debian's
packages slurm-wlm, slurmdbd, munge and mariadb-server (``make slurm``), root, and no network.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode puts no folder there

import configuration
from configuration import NODES, SMALL_ACCOUNT, SMALL_ACCOUNT_JOBS
from keeper import Keeper

T = TypeVar("T")
PROGRAMS = ("sbatch", "slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "mariadb-install-db")
# Daemons live in /usr/sbin, which users other than root may not have on their path.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
START_SECONDS = 60


def why_not() -> str | None:
    """Say what keeps the cluster from starting here, if anything does."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if absent:
        return f"no Slurm here: {', '.join(absent)} not found; `make slurm` as root installs it"
    if os.geteuid() != 0:
        return "the test cluster is started by root only"
    return None


class Cluster:
    """Four nodes of two cores and two GPUs; partitions normal, cancelled, urgent, short.

    Attributes:
        folder: Configuration, state and the daemons' logs (``folder / "log"``).
        environment: This process's, without the variables of a surrounding Slurm job, with
            SLURM_CONF. Slurm's commands need nothing else to find the cluster.
    """

    def __init__(self) -> None:
        # Sockets lie in here, and the name of one may not exceed 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SLURM_", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_", "SACCT_"))
        } | {"PATH": PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}
        self._keeper = Keeper(self.folder)

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill every process of the cluster and of its jobs, and remove the folder."""
        self._keeper.close()

    # What tests do with it.

    def run(self, *command: str | Path, check: bool = True, **options) -> str:
        """Run a command against the cluster and return its output, without the last line end."""
        done = self.attempt(*command, **options)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
        return done.stdout.rstrip("\n")

    def attempt(self, *command: str | Path, **options) -> subprocess.CompletedProcess[str]:
        """Run a command that may fail."""
        options = {"timeout": 60, "env": self.environment, **options}
        return subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            **options,
        )

    def wait_until(self, happened: Callable[[], T], seconds: float = 30) -> T:
        """Return the first true answer of ``happened``.

        Raises:
            TimeoutError: With the state of queue and nodes, when there is none in time.
        """
        end = time.monotonic() + seconds
        while not (answer := happened()):
            if time.monotonic() > end:
                scene = (
                    self.run("squeue", "-r", check=False) + "\n" + self.run("sinfo", check=False)
                )
                raise TimeoutError(f"not within {seconds} s; the cluster:\n{scene}")
            time.sleep(0.1)
        return answer

    def job(self, job: str) -> dict[str, str]:
        """Return what the controller says of one job, or of one array task (``12_3``)."""
        words = self.run("scontrol", "show", "job", "-o", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def stop_controller(self) -> None:
        self._keeper.stop("slurmctld")

    def start_controller(self) -> None:
        self._daemon("slurmctld", "-D")
        self._wait_for("slurmctld", "scontrol", "show", "config")

    def pause_controller(self) -> None:
        """Let it hang: requests are taken in and not answered until it goes on."""
        self._keeper.signal("slurmctld", signal.SIGSTOP)

    def continue_controller(self) -> None:
        self._keeper.signal("slurmctld", signal.SIGCONT)

    def stop_accounting(self) -> None:
        self._keeper.stop("slurmdbd")

    def start_accounting(self) -> None:
        self._daemon("slurmdbd", "-D")
        self._wait_for("slurmdbd", "sacctmgr", "-n", "show", "cluster")

    def fail_node(self, name: str) -> None:
        self.run("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=test")

    def make_read_only(self, name: str, folder: Path) -> None:
        """Let a node see a folder that it cannot write to, and others write to it as before."""
        self._within(name, "mount", "--bind", str(folder), str(folder))
        self._within(name, "mount", "-o", "remount,ro,bind", str(folder))

    def make_writable(self, name: str, folder: Path) -> None:
        """Undo :meth:`make_read_only`."""
        self._within(name, "umount", "--lazy", str(folder))

    def _within(self, name: str, *command: str) -> None:
        """Run a command among the mounts of a node."""
        pid = (self.folder / f"{name}.pid").read_text().strip()
        self.run("nsenter", "--mount", "--target", pid, *command)

    def lose_state(self) -> None:
        """Let the controller forget all jobs, as after a disk that was not restored; once only."""
        self.stop_controller()
        shutil.rmtree(self.folder / "state")
        (self.folder / "state").mkdir()
        # Ids are not to come again: the accounting would take new jobs for the old ones.
        with (self.folder / "slurm.conf").open("a") as file:
            file.write("FirstJobId=10000\n")
        self.start_controller()
        self.wait_until(
            lambda: set(self.run("sinfo", "-hN", "-p", "normal", "-o%T").split()) == {"idle"}
        )

    def resume_node(self, name: str) -> None:
        """Bring back what :meth:`fail_node` took away, once the jobs that were on it are dead.

        Started again on this node before that, a job is held ("launch failed requeued held") and
        the node drained.
        """
        steps = self.folder / "spool" / name  # a socket for each step
        self.wait_until(lambda: not list(steps.glob(f"{name}_*")))
        self.run("scontrol", "update", f"NodeName={name}", "State=RESUME")
        self.wait_until(
            lambda: self.run("sinfo", "-h", "-n", name, "-p", "normal", "-o%T") == "idle"
        )

    def mend(self) -> None:
        """Undo what tests may have left stopped, paused or failed."""
        for daemon, start in (
            ("slurmdbd", self.start_accounting),
            ("slurmctld", self.start_controller),
        ):
            if self._keeper.is_running(daemon):
                self._keeper.signal(daemon, signal.SIGCONT)
            else:
                start()
        for name in self.run("sinfo", "-hN", "-p", "normal", "-t", "down,drain", "-o%N").split():
            self.resume_node(name)

    def start_now(self, job: str, check: bool = True) -> None:
        """Spare a requeued job the two minutes that Slurm lets it wait.

        It would be killed as "non-startable" in the very second in which its node revoked the
        credential of its former self, since credentials are told apart by the second.
        """
        self.run("scontrol", "update", f"JobId={job}", "StartTime=now+2", check=check)

    def start_again(self, job: str) -> None:
        """Let a job that is being put back into the queue begin as soon as it is there."""
        self.wait_until(lambda: self.job(job)["JobState"] == "PENDING")
        self.start_now(job)

    def expire(self, job: str) -> None:
        """Let a running job's time be over; Slurm notices within thirty seconds.

        `scontrol` turns "now" into a second of the clock, and Slurm refuses an end in the past: a
        second that turned in between was an "Invalid time".
        """
        self.run("scontrol", "update", f"JobId={job}", "EndTime=now+2")

    def kill_step(self, job: str) -> None:
        """Kill (SIGKILL) the processes that srun started in a running job."""
        record = self.job(job)
        pids = self.run("scontrol", "listpids", f"{record['JobId']}.0", record["BatchHost"])
        for line in pids.splitlines()[1:]:
            os.kill(int(line.split()[0]), signal.SIGKILL)

    def clear(self) -> None:
        """Cancel every job and wait until the nodes are idle again."""
        self.run("scancel", "--user", "root")
        self.wait_until(lambda: not self.run("squeue", "-h"))

    # How it starts.

    def _start(self) -> None:
        for name in ("state", "spool", "log"):
            (self.folder / name).mkdir()
        configuration.write(self.folder)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        self.folder.chmod(0o711)  # munge wants its socket to be within reach of everybody
        self._daemon(
            "munged",
            "--foreground",
            f"--key-file={key}",
            f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/munge.pid",
            f"--seed-file={self.folder}/munge.seed",
            f"--log-file={self.folder}/log/munge",
        )
        self._start_database()
        self.start_accounting()
        for words in (
            "cluster bed",  # brings the account root, without limits
            f"account {SMALL_ACCOUNT} MaxSubmitJobs={SMALL_ACCOUNT_JOBS}",
            f"user root Account={SMALL_ACCOUNT}",
        ):
            self.run("sacctmgr", "-i", "add", *words.split())
        for name in NODES:  # each with mounts of its own
            words = ("--mount", "--propagation=slave", shutil.which("slurmd", path=PATH))
            self._daemon("unshare", *words, "-D", "-N", name, log=name)
        self.start_controller()
        idle = ["idle"] * len(NODES)
        self.wait_until(lambda: self.run("sinfo", "-hN", "-p", "normal", "-o%T").split() == idle)

    def _start_database(self) -> None:
        """Start an empty MariaDB behind a socket in the folder, open to whoever reaches that."""
        data = self.folder / "database"
        self.run(
            "mariadb-install-db",
            "--no-defaults",
            "--user=root",
            "--skip-test-db",
            f"--datadir={data}",
        )
        self._daemon(
            "mariadbd",
            "--no-defaults",
            "--user=root",
            f"--datadir={data}",
            f"--socket={data}/socket",
            f"--pid-file={data}/pid",
            "--skip-networking",
            "--skip-grant-tables",
            "--innodb-flush-log-at-trx-commit=0",
        )
        self.wait_until((data / "socket").exists, START_SECONDS)

    def _daemon(self, name: str, *arguments: str, log: str | None = None) -> None:
        program = shutil.which(name, path=PATH)
        where = {"MYSQL_UNIX_PORT": f"{self.folder}/database/socket"}  # read by slurmdbd's library
        self._keeper.start(
            log or name,
            [program, *arguments],
            self.folder / "log" / f"{log or name}.out",
            self.environment | where,
        )

    def _wait_for(self, daemon: str, *question: str) -> None:
        """Wait until a daemon answers a question; show its log when it does not."""

        def answers() -> bool:
            if not self._keeper.is_running(daemon):
                raise RuntimeError(f"{daemon} ended:\n{self._log(daemon)}")
            return self.attempt(*question).returncode == 0

        end = time.monotonic() + START_SECONDS
        while not answers():
            if time.monotonic() > end:
                raise TimeoutError(f"{daemon} does not answer:\n{self._log(daemon)}")
            time.sleep(0.1)

    def _log(self, daemon: str) -> str:
        return (self.folder / "log" / f"{daemon}.out").read_text()[-3000:]


def _main() -> None:
    if reason := why_not():
        sys.exit(f"error: {reason}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Cluster() as cluster:
        print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}", flush=True)
        print("Ctrl-C ends the cluster and its jobs.", file=sys.stderr)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    _main()
