"""Everything but mechanism, sites and seed that defines a translation training.

The optimizer is fixed: Adam with betas 0.9 and 0.98, the learning rate rising linearly from 1e-7
and then falling with the inverse square root of the update. The paper's base model on WMT14 is
``Recipe(data="wmt14", encoder_layers=6, decoder_layers=6, width=512, ffn_width=2048, heads=8,
dropout=0.1, learning_rate=1e-3, warmup_updates=4000, ...)``.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from plugins.attention.core.word import Word
from plugins.contracts import recipe as contract

__all__ = ["Recipe"]


class Recipe(contract.Recipe):
    """A translation training. The defaults are a small model for ``software-en-de``."""

    always: ClassVar[frozenset[str]] = frozenset(
        {
            *("data", "elsewhere", "encoder_layers", "decoder_layers", "width", "ffn_width"),
            *("heads", "dropout", "shared_embeddings", "absolute_positions", "label_smoothing"),
            *("epochs", "tokens_per_batch", "update_frequency", "learning_rate"),
            *("warmup_updates", "beam", "length_penalty", "evaluation_split"),
            "evaluation_sentences",
        }
    )

    data: str = Field("software-en-de", description="Name of the prepared data set.")
    elsewhere: str = Field(
        "1111",
        description="Mechanism at the attention sites that the grid does not vary; the paper's"
        " is 1111.",
    )
    encoder_layers: int = Field(3, ge=1, description="Layers of the encoder.")
    decoder_layers: int = Field(3, ge=1, description="Layers of the decoder.")
    width: int = Field(256, ge=2, description="Features of a token throughout the model; even.")
    ffn_width: int = Field(1024, ge=1, description="Hidden features of the feed-forward networks.")
    heads: int = Field(4, ge=1, description="Attention heads; divides width.")
    dropout: float = Field(
        0.1, ge=0, lt=1, description="Dropout after each sub-layer and on the embeddings."
    )
    shared_embeddings: bool = Field(
        True,
        description="One matrix for source embedding, target embedding and output projection;"
        " otherwise three.",
    )
    absolute_positions: bool = Field(
        False,
        description="Add sinusoids of absolute positions to the embeddings. Without them only E2,"
        " E4, convolutions and the causal mask tell positions apart.",
    )
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="Probability taken from the reference token."
    )
    epochs: int = Field(12, ge=1, description="Passes through the training pairs.")
    updates: int | None = Field(
        None,
        ge=1,
        description="Train for so many updates, however many passes that takes; `epochs` then says"
        " nothing.",
    )
    tokens_per_batch: int = Field(
        4096,
        ge=1,
        description="Most tokens of a batch, padding included, on the longer side.",
    )
    update_frequency: int = Field(1, ge=1, description="Batches whose gradients make one update.")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="Of products in training: bfloat16 by autocast, float16 by fairseq's fp16,"
        " which scales the loss and needs a GPU.",
    )
    compile: bool = Field(
        False,
        description="Let torch.compile translate encoder and decoder, mechanisms included, in"
        " training; the same up to rounding.",
    )
    learning_rate: float = Field(1e-3, gt=0, description="Its highest value, after warm-up.")
    warmup_updates: int = Field(
        400, ge=1, description="Updates over which the learning rate rises from 1e-7."
    )
    beam: int = Field(4, ge=1, description="Hypotheses kept by beam search.")
    length_penalty: float = Field(
        0.6, description="Exponent of the length that divides a hypothesis's log-probability."
    )
    evaluation_split: Literal["valid", "test"] = Field(
        "valid", description="Split that perplexity and BLEU are measured on."
    )
    evaluation_sentences: int | None = Field(
        None,
        ge=1,
        description="Measure on so many pairs, evenly spaced over the split, instead of all.",
    )

    @property
    def step(self) -> str:
        """What one update learns from, in words."""
        tokens = f"{self.tokens_per_batch * self.update_frequency:,} tokens"
        if self.update_frequency > 1:
            batches = f"{self.update_frequency} batches of {self.tokens_per_batch:,} each"
            tokens += f", {batches}, one after the other"
        return f"a step: at most {tokens}; learning rate up to {self.learning_rate:g}"

    @field_validator("elsewhere")
    @classmethod
    def _is_a_mechanism(cls, word: str) -> str:
        return str(Word.parse(word))

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Recipe:
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        if self.width % 2:
            raise ValueError(f"width must be even for its sines and cosines, got {self.width}")
        return self
