"""Perplexity and BLEU of a translation model on a part of a data set."""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq import utils
from fairseq.data import LanguagePairDataset

from plugins.contracts.items import ITEMS
from plugins.translation.data.bleu import bleu_of, require_number
from plugins.translation.data.text import sentences
from plugins.translation.items import statistics
from plugins.translation.recipe import Recipe

__all__ = ["EXTRA_LENGTH", "UNTRAINED_LENGTH", "Evaluation"]

EXTRA_LENGTH = 50
"""Tokens by which a translation may exceed the longest source of its batch.

Vaswani et al. 2017, section 6.1, allow this many beyond its own source.
"""

UNTRAINED_LENGTH = 5
"""The same of a network that has learned nothing. It hardly ever ends a sentence by itself, and
would take longer to write so much at random than it takes to train for some epochs."""

logger = logging.getLogger(__name__)


class Evaluation:
    """The sentences that a run is measured on.

    Parameters
    ----------
    task: fairseq.tasks.TranslationTask
        Its data set of the recipe's evaluation split is loaded, and cut to size.
    recipe: Recipe
        Says which sentences, how they are batched, and how beam search works.
    data: Path
        Folder with the references as natural text, ``<split>.<target language>``.

    Raises
    ------
    ValueError
        If the data set has no such split, the numbers of references and of binarised pairs
        differ, a sentence is longer than the model reads, or BLEU can be no number.
    """

    def __init__(self, task: Any, recipe: Recipe, data: Path) -> None:
        self.task, self.recipe, self.split = task, recipe, recipe.evaluation_split
        try:
            task.load_dataset(self.split)
        except FileNotFoundError as error:
            raise ValueError(
                f"{data} has no split {self.split}; evaluation_split: valid is there in each set"
            ) from error
        whole = task.datasets[self.split]
        path = data / f"{self.split}.{task.cfg.target_lang}"
        references = list(sentences(path))
        if len(references) != len(whole):
            raise ValueError(
                f"{path} has {len(references)} lines, the binarised {self.split} split"
                f" {len(whole)} pairs: prepare the data again"
            )
        wanted = min(recipe.evaluation_sentences or len(whole), len(whole))
        chosen = [i * len(whole) // wanted for i in range(wanted)]
        self.chosen, self.references = chosen, [references[i] for i in chosen]
        self.translations: list[str] = []
        self._check_lengths(whole, chosen, path)
        self.metric = bleu_of(task.cfg.target_lang)
        require_number(self.metric, self.references)
        task.datasets[self.split] = LanguagePairDataset(
            [whole.src[i] for i in chosen],
            whole.src_sizes[chosen],
            whole.src_dict,
            [whole.tgt[i] for i in chosen],
            whole.tgt_sizes[chosen],
            whole.tgt_dict,
            left_pad_source=whole.left_pad_source,
            left_pad_target=whole.left_pad_target,
            shuffle=False,
        )

    def perplexity(self, model: Any, criterion: Any) -> float:
        """Return exp of the mean negative log-likelihood of a reference token, end included."""
        model.eval()
        nats, tokens = 0.0, 0
        with self._nothing_compiled():
            for sample in self._batches(model):
                _, _, logged = self.task.valid_step(sample, model, criterion)
                nats += float(logged["nll_loss"])
                tokens += logged["ntokens"]
        perplexity = torch.tensor(nats / tokens, dtype=torch.float64).exp().item()
        if not math.isfinite(perplexity):
            raise FloatingPointError(f"the perplexity of {self.split} is {perplexity}")
        return perplexity

    def bleu(self, model: Any, extra: int = EXTRA_LENGTH) -> float:
        """Return detokenised BLEU in [0, 100], by sacrebleu with its tokens of the language.

        A translation may exceed the longest source of its batch by so many `extra` tokens.
        """
        search = argparse.Namespace(
            beam=self.recipe.beam,
            lenpen=self.recipe.length_penalty,
            max_len_a=1,
            max_len_b=extra,
        )
        generator = self.task.build_generator([model], search)
        translations: dict[int, str] = {}
        with self._nothing_compiled():
            for sample in self._batches(model):
                found = self.task.inference_step(generator, [model], sample)
                for index, hypotheses in zip(sample["id"].tolist(), found, strict=True):
                    translations[index] = self.task.target_dictionary.string(
                        hypotheses[0]["tokens"].int().cpu(), "sentencepiece", unk_string="⁇"
                    )
        for i in range(min(3, len(self.references))):
            logger.info("reference   %s", self.references[i])
            logger.info("translation %s", translations[i])
        self.translations = [translations[i] for i in range(len(self.references))]
        score = self.metric.corpus_score(self.translations, [self.references])
        logger.info("%s | %s", score, self.metric.get_signature())
        return score.score

    def items(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return what the last BLEU was made of, sentence by sentence."""
        counted = statistics(self.metric, self.translations, self.references)
        return counted | {ITEMS: np.asarray(self.chosen)}

    def _check_lengths(self, whole: Any, chosen: list[int], path: Path) -> None:
        """Raise ValueError if a sentence is longer than the model reads."""
        for sizes, most in zip(
            (whole.src_sizes, whole.tgt_sizes), self.task.max_positions(), strict=True
        ):
            for i in chosen:
                if sizes[i] > most:
                    raise ValueError(
                        f"{path}, line {i + 1}: a side of this pair has {sizes[i] - 1} units, and "
                        f"the model reads {most - 1} at most; shorten it, or take the pair out, "
                        "and prepare the data again"
                    )

    def _nothing_compiled(self) -> AbstractContextManager[Any]:
        """Keep models from compiling themselves again for a few sentences without learning."""
        if not self.recipe.compile:
            return nullcontext()
        return torch.compiler.set_stance("force_eager")

    def _batches(self, model: Any) -> Iterator[dict[str, Any]]:
        dataset = self.task.dataset(self.split)
        batches = self.task.get_batch_iterator(
            dataset=dataset,
            max_tokens=max(self.recipe.tokens_per_batch, int(dataset.sizes.max())),
            max_positions=utils.resolve_max_positions(
                self.task.max_positions(), model.max_positions()
            ),
            disable_iterator_cache=True,
        )
        cuda = next(model.parameters()).is_cuda
        for sample in batches.next_epoch_itr(shuffle=False):
            yield utils.move_to_cuda(sample) if cuda else sample
