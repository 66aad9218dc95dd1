"""All programs of the fake Slurm: ``program.py NAME WORDS...``; a whole program's faults."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fake import state as queue
from fake.batch import sbatch, srun
from fake.control import scancel, scontrol, sinfo
from fake.tables import sacct, squeue
from fake.words import fail

PROGRAMS = {
    **{"sbatch": sbatch, "srun": srun, "squeue": squeue, "sacct": sacct},
    **{"scancel": scancel, "scontrol": scontrol, "sinfo": sinfo},
}
UNREACHABLE = "Unable to contact slurm controller (connect failure)"
SAYS = {
    "sbatch": f"sbatch: error: Batch job submission failed: {UNREACHABLE}",
    "squeue": f"slurm_load_jobs error: {UNREACHABLE}",
    "scontrol": f"slurm_load_jobs error: {UNREACHABLE}",
    "scancel": f"scancel: error: {UNREACHABLE}",
    "sinfo": f"slurm_load_partitions: {UNREACHABLE}",
    "sacct": "sacct: error: Problem talking to the database: Connection refused",
}


def main() -> None:
    name, *words = sys.argv[1:]
    if name != "srun":
        faults = queue.read()["faults"]
        time.sleep(faults.get("hang", {}).get(name, 0))
        if name in faults.get("unreachable", ()):
            fail(SAYS[name])
        if name == "sacct" and faults.get("no_accounting"):
            fail("Slurm accounting storage is disabled")
        if "--version" in words:
            print("slurm-wlm 22.05.8")
            return
    PROGRAMS[name](words)


main()
