"""What a module for sequences offers: whole sentences in training, step by step in decoding."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["SequenceModule"]


class SequenceModule(nn.Module):
    """A mechanism over sequences. Derive from it and write :meth:`forward`.

    That is enough: each step of decoding then computes all positions anew and keeps the newest. A
    module that needs less overrides :meth:`remember` and :meth:`step`.

    Attributes
    ----------
    reach: int, optional
        Earlier positions that a step of decoding looks at; None: all. Only these are remembered.
    """

    reach: int | None = None

    def forward(
        self,
        query: Tensor,
        memory: Tensor | None = None,
        *,
        causal: bool = False,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Return (N, T, C) for a `query` (N, T, C).

        Parameters
        ----------
        query: Tensor
            (N, T, C).
        memory: Tensor, optional
            (N, S, key_channels), the sequence attended to; None: the query itself.
        causal: bool
            Whether later positions are hidden from a position.
        key_padding_mask: Tensor, optional
            (N, S), true where the sequence attended to is padding.
        """
        raise NotImplementedError

    def remember(self, memory: Tensor) -> dict[str, Tensor]:
        """Return what later steps need of (N, S, features), each (N, ..., S, features)."""
        return {"memory": memory}

    def step(
        self,
        query: Tensor,
        kept: dict[str, Tensor],
        *,
        cross: bool = False,
        causal: bool = False,
        key_padding_mask: Tensor | None = None,
        query_start: int = 0,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Compute the newest positions from what was remembered of all.

        Parameters
        ----------
        query: Tensor
            (N, T, C), the newest positions.
        kept: dict of str to Tensor
            What :meth:`remember` returned, of all positions that are attended to.
        cross: bool
            Whether these are positions of another sequence.
        causal, key_padding_mask
            As of :meth:`forward`.
        query_start: int
            Position of the first query in its sequence, or among those that are kept.
        need_weights: bool
            Whether weights are asked for.

        Returns
        -------
        tuple
            (N, T, C), and the weights (N or 1, heads, T or 1, S), None if there are none or nobody
            asked for them.
        """
        memory = kept["memory"]
        if cross:
            return self(query, memory, causal=causal, key_padding_mask=key_padding_mask), None
        whole = self(memory, causal=causal, key_padding_mask=key_padding_mask)
        return whole[:, query_start:], None
