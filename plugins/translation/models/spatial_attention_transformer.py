"""Makes ``--arch spatial_attention_transformer`` known to fairseq.

fairseq imports this file as ``translation.models...``, outside the package that it belongs to, so
it must not define the model a second time.
"""

from plugins.translation.transformer import SpatialAttentionTransformer

__all__ = ["SpatialAttentionTransformer"]
