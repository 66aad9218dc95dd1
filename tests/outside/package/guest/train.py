"""The training of `guest.task`, in plain torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from guest.task import COLUMNS, ROWS, Halves
from plugins.attention.core.cost import Cost, count
from plugins.attention.core.site import PairSite
from plugins.attention.core.standing import build, parts_at
from plugins.contracts.job import CheckpointError, Job, Stopped
from plugins.training.mechanisms import Trained

BATCH = 32
CLASSES = 10
LEARNING_RATE = 0.01


class Network(nn.Module):
    """From the left half (N, 8, 4), and the right one (N, 8, 4), to the classes."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        task, recipe = Halves(), job.recipe
        self.rows = nn.Linear(COLUMNS, recipe.channels)
        self.columns = nn.Linear(ROWS, recipe.key_channels)
        self.attention = nn.ModuleDict()
        for name in job.sites:
            site = task.site(name, recipe)
            for place, part in parts_at(job.mechanism, site).items():
                self.attention[name] = build(part, site.at(place))
        self.classify = nn.Linear(ROWS * recipe.channels, CLASSES)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        rows, columns = self.rows(left), self.columns(right.mT)
        if "rows" in self.attention:
            rows = rows + self.attention["rows"](rows)
        if "halves" in self.attention:
            empty = right.sum(1) == 0  # a column without ink
            rows = rows + self.attention["halves"](rows, columns, key_padding_mask=empty)
        classes: Tensor = self.classify(rows.relu().flatten(1))
        return classes


def cost(job: Job) -> Cost:
    """Count one digit, whose columns all have ink."""
    model, half = Network(job), torch.ones(1, ROWS, COLUMNS)
    return count(model, lambda: model(half, half), [ROWS, 2 * COLUMNS])


def train(job: Job) -> None:
    """Train from the last checkpoint, if there is one."""
    torch.manual_seed(job.seed)
    (left, right, labels), checkpoint = _load(job, "train"), job.folder / "checkpoints" / "last.pt"
    model = Network(job)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE)
    epoch, an_epoch = 0, -(-len(labels) // BATCH)
    trained = Trained(model, job.recipe.epochs * an_epoch)
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        epoch = state["epoch"]
    else:
        job.record("untrained", step=0, epoch=0, error=_error(model, job))
    while epoch < job.recipe.epochs:
        order = torch.from_numpy(np.random.default_rng([job.seed, epoch]).permutation(len(labels)))
        for number, batch in enumerate(order.split(BATCH)):
            if job.stopping():
                raise Stopped
            trained.at(epoch * an_epoch + number)
            loss = cross_entropy(model(left[batch], right[batch]), labels[batch])
            own = trained.loss()
            optimizer.zero_grad()
            (loss if own is None else loss + own).backward()
            optimizer.step()
        epoch += 1
        step = epoch * an_epoch
        job.record("train", step=step, epoch=epoch, loss=loss.item())
        job.record("val", step=step, epoch=epoch, error=_error(model, job))
        checkpoint.parent.mkdir(exist_ok=True)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        torch.save(state, checkpoint.with_suffix(".partial"))
        checkpoint.with_suffix(".partial").replace(checkpoint)


def evaluate(job: Job, checkpoint: Path) -> dict[str, float]:
    """Return the error of weights in a file."""
    model = Network(job)
    try:
        model.load_state_dict(torch.load(checkpoint)["model"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{checkpoint} has no weights of this run: {error}") from None
    return {"error": _error(model, job)}


def look(job: Job, source: str) -> dict[str, Any]:
    """Return the weights of a digit of the validation set, `source` being its number."""
    left, right, _ = _load(job, "val")
    if not source.isdecimal() or int(source) >= len(left):
        raise ValueError(f"{source!r} is no number of a digit, 0 to {len(left) - 1}")
    number = slice(int(source), int(source) + 1)
    model = Network(job).eval()
    model.load_state_dict(torch.load(job.folder / "checkpoints" / "last.pt")["model"])
    arrays: dict[str, Any] = {
        "source": np.array([f"column {n}" for n in range(COLUMNS + 1, 2 * COLUMNS + 1)]),
        "target": np.array([f"row {n}" for n in range(1, ROWS + 1)]),
    }
    with torch.no_grad():
        rows, columns = model.rows(left[number]), model.columns(right[number].mT)
        for name, module in model.attention.items():
            known: Any = module
            inputs = (rows, columns) if isinstance(known.site, PairSite) else (rows,)
            for key, value in known.mechanism.weights(known, *inputs).items():
                shown = value.expand(-1, -1, ROWS, -1) if value.dim() == 4 else value
                arrays[f"{name}/{key}"] = shown[0].numpy()
    return arrays


def _load(job: Job, split: str) -> tuple[Tensor, Tensor, Tensor]:
    with np.load(job.data / f"{split}.npz") as file:
        left, right, labels = (torch.from_numpy(file[name]) for name in ("left", "right", "labels"))
    most = job.recipe.images
    return left[:most], right[:most], labels[:most]


@torch.no_grad()
def _error(model: Network, job: Job) -> float:
    left, right, labels = _load(job, "val")
    return (model(left, right).argmax(1) != labels).double().mean().item()
