"""With what mmcv's operators were compiled."""

from __future__ import annotations

__all__ = ["cuda_version"]

_WITHOUT = "not available"  # mmcv's word


def cuda_version() -> str | None:
    """Return the CUDA version that mmcv's operators were compiled for; None if for CPUs alone."""
    from mmcv.ops import get_compiling_cuda_version

    version = str(get_compiling_cuda_version())
    return None if version == _WITHOUT else version
