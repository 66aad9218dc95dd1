"""fairseq's Transformer with a choice of mechanism for each kind of attention.

Importing this module registers the model and its architectures with fairseq. It is imported under
this one name only, so that ``fairseq-train --user-dir plugins/translation`` and ``study`` share
one registration.
"""

from __future__ import annotations

import argparse
from typing import Any

from fairseq.distributed import fsdp_wrap
from fairseq.models import register_model, register_model_architecture
from fairseq.models.transformer import (
    TransformerConfig,
    TransformerDecoderBase,
    TransformerEncoderBase,
    TransformerModel,
    base_architecture,
)
from fairseq.modules.checkpoint_activations import checkpoint_wrapper
from fairseq.modules.transformer_layer import (
    TransformerDecoderLayerBase,
    TransformerEncoderLayerBase,
)
from torch import nn

from plugins.attention.core.word import Word
from plugins.attention.mechanisms.generalized import Generalized
from plugins.translation.attention import build_attention
from plugins.translation.checkpoints import allow_configurations
from plugins.translation.sites import check_sites
from plugins.translation.unit import AttentionUnit

__all__ = ["NAME", "SpatialAttentionTransformer"]

NAME = "spatial_attention_transformer"
ARGUMENTS = {
    "encoder": "encoder_self_attention",
    "decoder": "decoder_self_attention",
    "cross": "cross_attention",
}
"""The argument that says what attends in each part of the model."""

allow_configurations()


class EncoderLayer(TransformerEncoderLayerBase):
    """Encoder layer; without attention it is the feed-forward network alone."""

    def __init__(self, cfg: TransformerConfig, return_fc: bool = False) -> None:
        super().__init__(cfg, return_fc=return_fc)
        _remove_norm_of_none(self, cfg.encoder.self_attention)

    def build_self_attention(self, embed_dim: int, cfg: TransformerConfig) -> AttentionUnit:
        """Build the mechanism that `cfg` names."""
        mechanism = Word.parse(cfg.encoder.self_attention)
        return build_attention(mechanism, "encoder", embed_dim, cfg.encoder.attention_heads)


class DecoderLayer(TransformerDecoderLayerBase):
    """Decoder layer."""

    def __init__(self, cfg: TransformerConfig, no_encoder_attn: bool = False) -> None:
        super().__init__(cfg, no_encoder_attn)
        _remove_norm_of_none(self, cfg.decoder.self_attention)

    def build_self_attention(
        self, embed_dim: int, cfg: TransformerConfig, **_: Any
    ) -> AttentionUnit:
        """Build the mechanism that `cfg` names."""
        mechanism = Word.parse(cfg.decoder.self_attention)
        return build_attention(mechanism, "decoder", embed_dim, cfg.decoder.attention_heads)

    def build_encoder_attention(self, embed_dim: int, cfg: TransformerConfig) -> AttentionUnit:
        """Build the mechanism that `cfg` names."""
        mechanism = Word.parse(cfg.cross_attention)
        heads = cfg.decoder.attention_heads
        return build_attention(mechanism, "cross", embed_dim, heads, cfg.encoder.embed_dim)


class Encoder(TransformerEncoderBase):
    """Encoder of such layers."""

    def build_encoder_layer(self, cfg: TransformerConfig) -> nn.Module:
        """Build one layer."""
        return _wrapped(EncoderLayer(cfg, return_fc=self.return_fc), cfg)


class Decoder(TransformerDecoderBase):
    """Decoder of such layers."""

    def build_decoder_layer(
        self, cfg: TransformerConfig, no_encoder_attn: bool = False
    ) -> nn.Module:
        """Build one layer."""
        return _wrapped(DecoderLayer(cfg, no_encoder_attn), cfg)


@register_model(NAME)
class SpatialAttentionTransformer(TransformerModel):
    """Transformer (Vaswani et al. 2017) with spatial attention mechanisms (Zhu et al. 2019)."""

    @staticmethod
    def add_args(parser: argparse.ArgumentParser) -> None:
        """Add fairseq's arguments and ours."""
        TransformerModel.add_args(parser)
        for part, name in ARGUMENTS.items():
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                type=_word_at(part),
                metavar="MECHANISM",
                help=f"what attends at {part!r}: four bits E1E2E3E4 or another mechanism's word"
                " (default: 1111)",
            )

    @classmethod
    def build_model(cls, args: argparse.Namespace, task: Any) -> SpatialAttentionTransformer:
        """Build the model.

        Raises
        ------
        ValueError
            If a mechanism cannot stand where it is asked for, if the task pads sentences on the
            left and a mechanism depends on absolute columns, or if an option of fairseq's own
            attention is set that ours does not have.
        """
        architecture(args)
        for part, name in ARGUMENTS.items():
            check_sites(Word.parse(getattr(args, name)), (part,))
        _check_padding(Word.parse(args.cross_attention), task)
        _check_options(args)
        return super().build_model(args, task)

    @classmethod
    def build_encoder(cls, args: Any, src_dict: Any, embed_tokens: nn.Embedding) -> Encoder:
        """Build the encoder."""
        return Encoder(TransformerConfig.from_namespace(args), src_dict, embed_tokens)

    @classmethod
    def build_decoder(cls, args: Any, tgt_dict: Any, embed_tokens: nn.Embedding) -> Decoder:
        """Build the decoder."""
        return Decoder(TransformerConfig.from_namespace(args), tgt_dict, embed_tokens)


@register_model_architecture(NAME, NAME)
def architecture(args: argparse.Namespace) -> None:
    """Set what is not given: the base Transformer, all terms everywhere."""
    for name in ARGUMENTS.values():
        setattr(args, name, getattr(args, name, "1111"))
    base_architecture(args)


@register_model_architecture(NAME, f"{NAME}_tiny")
def tiny_architecture(args: argparse.Namespace) -> None:
    """Set what is not given: a model for tests."""
    sizes = {"layers": 2, "embed_dim": 32, "ffn_embed_dim": 64, "attention_heads": 4}
    for half in ("encoder", "decoder"):
        for name, size in sizes.items():
            setattr(args, f"{half}_{name}", getattr(args, f"{half}_{name}", size))
    architecture(args)


def _word_at(part: str) -> Any:
    """Return the type of an argument: a mechanism's word that can stand at `part`."""

    def word(text: str) -> str:
        try:
            check_sites(Word.parse(text), (part,))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return text

    return word


def _check_padding(cross: Word, task: Any) -> None:
    # Within one sentence only differences of columns matter; padding shifts both alike.
    depends = any(
        isinstance(part, Generalized) and "1" in (part.terms[1], part.terms[3])
        for part in cross.parts
    )
    if depends and getattr(task.cfg, "left_pad_source", False):
        raise ValueError(
            f"cross-attention {str(cross)!r} relates columns of source and target, which padding"
            " the source on the left would shift: switch that off, in fairseq 0.12 with the flag"
            " --left-pad-source (without a value; earlier: --left-pad-source False)"
        )
    if depends and getattr(task.cfg, "left_pad_target", False):
        raise ValueError(
            f"cross-attention {str(cross)!r} relates columns of source and target, which padding"
            " the target on the left would shift: leave out --left-pad-target"
        )


def _check_options(args: argparse.Namespace) -> None:
    unknown = {
        "attention_dropout": 0,
        "cross_self_attention": False,
        "no_cross_attention": False,
        "quant_noise_pq": 0,
    }
    for name, off in unknown.items():
        if getattr(args, name, off) != off:
            raise ValueError(f"{NAME} has no --{name.replace('_', '-')}")
    for half in ("encoder", "decoder"):
        if getattr(args, f"{half}_xformers_att_config", None):
            raise ValueError(f"{NAME} has no --{half}-xformers-att-config")


def _remove_norm_of_none(layer: nn.Module, word: str) -> None:
    if word == "none":
        layer.self_attn_layer_norm = nn.Identity()


def _wrapped(layer: nn.Module, cfg: TransformerConfig) -> nn.Module:
    """Apply fairseq's options that trade time for memory and leave the result alone."""
    if cfg.checkpoint_activations:
        layer = checkpoint_wrapper(layer, offload_to_cpu=cfg.offload_activations)
    smallest = 0 if cfg.checkpoint_activations else cfg.min_params_to_wrap
    return fsdp_wrap(layer, min_num_params=smallest)
