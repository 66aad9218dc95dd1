"""What the verbs that queue runs and end them share: options, and what they tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from study.commands.complete import clusters

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from study.launch.protocol import Launcher, Order, Outcome, Profile
    from study.runs.folder import RunFolder
    from study.runs.run import Run
    from study.screen import Screen
    from study.status.states import States

__all__ = [
    *("Cluster", "Options", "Pack", "Parallel", "Slots", "Yes"),
    *("agree", "order_for", "profile_for", "refuse", "tell"),
]

CONFIRM_ABOVE = 20  # runs to cancel or train again without asking

Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        autocompletion=clusters,
        help="A launcher or a profile of ~/.config/study/clusters.yaml; slurm if not given.",
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", help="KEY=VALUE instead of the profile's, as time=4:00:00."),
]
Parallel = Annotated[int | None, typer.Option(min=1, help="Jobs at a time.")]
Pack = Annotated[int, typer.Option(min=1, help="Runs a job, side by side.")]
Slots = Annotated[int, typer.Option(min=1, help="With --cluster local: runs at a time.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


def profile_for(
    launcher: Launcher,
    cluster: str,
    option: list[str] | None,
    max_parallel: int | None,
    pack: int,
) -> Profile:
    """Return what a run may use; StudyError if that, or any submission, is impossible."""
    from study.errors import StudyError

    more = [f"max_parallel={max_parallel}"] if max_parallel else []
    profile = launcher.profile(cluster, [*(option or ()), *more])
    if pack > 1 and profile.processes > 1:
        raise StudyError(
            f"--pack {pack} is for runs of one process each; this profile trains a run with "
            f"{profile.processes}"
        )
    launcher.ready()
    return profile


def order_for(
    root: Path,
    profile: Profile,
    pack: int,
    runs: Sequence[Run],
    states: States,
    console: Screen,
) -> Order:
    """Return how runs are to be carried out, in the light of what became of earlier attempts."""
    from plugins.contracts.tasks import package_of
    from study.launch.protocol import Order

    packages = [package_of(task) for task in dict.fromkeys(run.task for run in runs)]
    return Order(root, profile, pack, packages, states.nodes.bad, console.print)


def tell(outcome: Outcome, console: Screen) -> bool:
    """Report what became of a submission; True if something is left to submit."""
    for job, runs in outcome.jobs.items():
        console.print(f"job {job}: {len(runs)} runs")
    for token, runs in outcome.unanswered.items():
        console.print(
            f"{token}: {len(runs)} runs; the scheduler did not say whether it has them. "
            "study status will know once it answers; submit again then"
        )
    if outcome.taken:
        console.print(f"{len(outcome.taken)} runs were begun by somebody else meanwhile")
    if outcome.waiting:
        console.print(
            f"{len(outcome.waiting)} runs are left: the queue takes no more now. Submit again later"
        )
    return bool(outcome.waiting or outcome.unanswered)


def refuse(states: list[str] | None, fit: tuple[str, ...], what: str) -> None:
    """Raise `StudyError` if a state that the user named is not `fit` for what he wants."""
    from study.errors import StudyError, nearest

    for state in states or ():
        if state not in fit:
            hint = nearest(state, fit)
            raise StudyError(f"--state: {state!r} is no state of runs that can be {what}{hint}")


def agree(
    folders: Sequence[RunFolder], states: States, what: str, yes: bool, console: Screen
) -> None:
    """End the command if there is nothing to do, or much to do and the user does not agree."""
    if not folders:
        console.print(f"nothing to {what}")
        raise typer.Exit
    told = ", ".join(f"{count} {state}" for state, count in states.count().items())
    if len(folders) > CONFIRM_ABOVE and not yes:
        typer.confirm(f"{what} {len(folders)} runs ({told})?", abort=True)
