"""Translation: a Transformer with a choice of mechanisms. Imports no framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.attention.core.site import SequenceSite
from plugins.attention.core.word import Word
from plugins.contracts.dataset import Checked
from plugins.contracts.items import CountsItems
from plugins.contracts.job import Job
from plugins.contracts.metric import Metric
from plugins.contracts.probe import Probed
from plugins.contracts.task import ChecksData, Evaluates, Looks, Probes, Smokes, Task
from plugins.translation.recipe import Recipe
from plugins.translation.sites import SITES, check, sequence_site

if TYPE_CHECKING:
    import numpy as np

    from plugins.attention.core.cost import Cost
    from plugins.contracts.items import Arrays

__all__ = ["Translation"]


class Translation(Task, ChecksData, Smokes, Probes, Evaluates, CountsItems, Looks):
    """Translation with fairseq."""

    name = "translation"
    Recipe = Recipe
    sites = SITES
    default_sites = ("self",)
    none_has_sites = True
    metrics = (
        Metric(
            "BLEU",
            "detokenised, by sacrebleu",
            best=100,
            lacking="the validation set has no sentence",
        ),
        Metric("perplexity", "of a reference token", higher_is_better=False, best=1),
    )
    packages = ("ve-fairseq", "sacrebleu", "sentencepiece")
    imports = ("fairseq.models", "fairseq.tasks")

    def site(self, name: str, recipe: Any) -> SequenceSite:
        """Return a site; for ``self``, which is two sites, that of the encoder."""
        if name not in SITES:
            raise ValueError(f"no site {name!r}")
        part = "encoder" if name == "self" else name
        return sequence_site(part, recipe.width, recipe.heads)

    def elsewhere(self, recipe: Any) -> tuple[Word, ...]:
        """Return what stands at the sites that the grid does not vary."""
        return (Word.parse(recipe.elsewhere),)

    def check(self, word: Word, sites: Sequence[str], recipe: Any) -> None:
        """Refuse what cannot stand at the sites, or elsewhere by the recipe."""
        check(word, sites, Word.parse(recipe.elsewhere))

    def check_data(self, folder: Path, whole: bool, progress: Callable[[str], None]) -> Checked:
        """Compare fairseq's data with the text that BLEU is measured against."""
        from plugins.translation.data.check import check

        return check(folder, whole, progress)

    def progress(self, recipe: Any, record: Mapping[str, Any]) -> float:
        """Return the share of the updates, or of the epochs if the recipe counts these."""
        if recipe.updates is None:
            return super().progress(recipe, record)
        return float(record.get("step", 0)) / recipe.updates

    def smoke(self, recipe: Any) -> Any:
        """Return the same training at toy width: two updates on embedded data, evaluated."""
        toy = {
            "data": Recipe.model_fields["data"].default,
            "encoder_layers": min(recipe.encoder_layers, 2),
            "decoder_layers": min(recipe.decoder_layers, 2),
            "width": 16 * recipe.heads,
            "ffn_width": 32 * recipe.heads,
            "epochs": 1,
            "updates": 2,
            "tokens_per_batch": 1024,
            "update_frequency": min(recipe.update_frequency, 2),
            "warmup_updates": 2,
            "evaluation_sentences": 8,
        }
        return Recipe.model_validate(recipe.model_dump() | toy)

    def preload(self) -> None:
        """Import fairseq."""
        from plugins.translation import train  # noqa: F401

    def train(self, job: Job) -> None:
        """Train and evaluate, from the newest readable checkpoint if there is one."""
        from plugins.translation.train import train

        train(job)

    def cost(self, job: Job, outputs: int | None = None) -> Cost:
        """Count a forward pass of one pair of sentences."""
        from plugins.translation.train import cost

        return cost(job, outputs)

    def probe(self, job: Job, steps: int, outputs: int | None = None) -> Probed:
        """Make updates on sentences of 32 tokens, after one on long sentences."""
        from plugins.translation.probe import probe

        return probe(job, steps, outputs)

    def training_steps(self, recipe: Any, items: int | None, data: Path | None) -> int | None:
        """Return the updates, or count the batches of the training pairs."""
        if recipe.updates is not None:
            return int(recipe.updates)
        if data is None:
            return None
        from plugins.translation.batches import batches

        return recipe.epochs * -(-batches(data, recipe.tokens_per_batch) // recipe.update_frequency)

    def evaluate(self, job: Job, checkpoint: Path) -> dict[str, float]:
        """Return BLEU and perplexity of the weights in a checkpoint of fairseq."""
        from plugins.translation.train import evaluate

        return evaluate(job, checkpoint)

    def value_of_items(self, items: Arrays, weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return BLEU of samples of the sentences."""
        from plugins.translation.items import bleu_of_samples

        return bleu_of_samples(items, weights)

    def look(
        self, job: Job, source: str, query: tuple[int, int] | None
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Translate the sentence `source` and return the weights of every layer at the sites."""
        from plugins.translation.look import look

        return look(job, source, query)
