"""The configuration of the test cluster: four nodes with two GPUs each, all on this host.

What the tests rely on stands here: the partitions, the limits and the pace. Documentation of the
keys: https://slurm.schedmd.com/archive/slurm-22.05-latest/slurm.conf.html
"""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

NODES = {"gpu1": "a", "gpu2": "a", "gpu3": "b", "gpu4": "b"}
"""Names of the nodes, and of the type of their GPUs."""

CPUS = 2
GPUS = 2
MEMORY_MB = 6000
SMALL_ACCOUNT = "small"
SMALL_ACCOUNT_JOBS = 5
MAX_ARRAY_SIZE = 101  # so that 100 is the largest index
GRACE_SECONDS = 4
KILL_WAIT_SECONDS = 5

# REQUEUE and CANCEL are what sites do with a preempted job; `short` bounds the time limit.
PARTITIONS = f"""
PartitionName=normal Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime={GRACE_SECONDS}
PartitionName=cancelled Nodes=ALL PriorityTier=1 PreemptMode=CANCEL GraceTime={GRACE_SECONDS}
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF
PartitionName=short Nodes=ALL PriorityTier=1 PreemptMode=OFF MaxTime=5
"""  # noqa: E501

# The scheduler's defaults are made for thousands of nodes and let a test wait for half a minute.
# Not to be hurried: a requeued job waits two minutes (Cluster.start_now helps), and time limits and
# the signal ahead of them are looked at every thirty seconds.
PACE = f"""
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
KillWait={KILL_WAIT_SECONDS}
MinJobAge=60
MessageTimeout=5
SlurmdTimeout=30
CompleteWait=0
"""

# Memory is watched by polling, since containers seldom may use cgroups.
MEMORY = """
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
DefMemPerCPU=500
"""


def write(folder: Path) -> None:
    """Write slurm.conf, gres.conf and slurmdbd.conf, with ports that are free now."""
    controller_port, accounting_port, *node_ports = _free_ports(2 + len(NODES))
    host = socket.gethostname().split(".")[0]
    user = pwd.getpwuid(os.geteuid()).pw_name
    common = f"AuthType=auth/munge\nAuthInfo=socket={folder}/munge.socket\n"
    nodes = "".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} "
        f"RealMemory={MEMORY_MB} Gres=gpu:{kind}:{GPUS}\n"
        for (name, kind), port in zip(NODES.items(), node_ports, strict=True)
    )
    (folder / "slurm.conf").write_text(
        common
        + f"""
ClusterName=bed
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=1
GresTypes=gpu
JobRequeue=1
OverTimeLimit=0
MaxArraySize={MAX_ARRAY_SIZE}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting_port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations,limits
"""
        + PACE
        + MEMORY
        + nodes
        + PARTITIONS
    )
    # A GPU is a device file; any device will do, since nothing here fences them off.
    devices = [folder / "gpu" / f"{name}-{i}" for name in NODES for i in range(GPUS)]
    for device in devices:
        device.parent.mkdir(exist_ok=True)
        device.symlink_to("/dev/null")
    (folder / "gres.conf").write_text(
        "".join(
            f"NodeName={name} Name=gpu Type={kind} File={folder}/gpu/{name}-[0-{GPUS - 1}]\n"
            for name, kind in NODES.items()
        )
    )
    accounting = folder / "slurmdbd.conf"
    accounting.touch(mode=0o600)  # slurmdbd refuses one that others may read
    accounting.write_text(
        common
        + f"""
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={accounting_port}
SlurmUser={user}
PidFile={folder}/slurmdbd.pid
LogFile={folder}/log/slurmdbd
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageLoc=slurm_acct_db
StorageUser={user}
"""
    )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
