"""Attention with tables of energies, as one operator with an evaluation for each device."""

from plugins.attention.kernels.attend.operator import attend
from plugins.attention.kernels.attend.window import Window

__all__ = ["Window", "attend"]
