"""State dicts as published files of pretrained backbones have them, of random numbers."""

from __future__ import annotations

import torch

__all__ = ["torchvisions", "with_deep_stem"]

SEVERAL = 4  # times as many channels leave a bottleneck as are in it
BLOCKS = {14: (1, 1, 1, 1), 18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def torchvisions(depth, base=64):
    """A state dict as torchvision's ResNet has it, of random numbers."""
    chance, state = torch.Generator().manual_seed(depth), {}
    basic = depth in (18, 34)

    def convolution(name, out, into, size):
        spread = (2 / (into * size**2)) ** 0.5  # else activations grow from layer to layer
        state[f"{name}.weight"] = spread * torch.randn(out, into, size, size, generator=chance)

    def norm(name, width):
        for key, least in (("weight", 0.2), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            state[f"{name}.{key}"] = least + 0.2 * torch.rand(width, generator=chance)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    convolution("conv1", base, 3, 7)
    norm("bn1", base)
    into = base
    for stage, count in enumerate(BLOCKS[depth]):
        width = base * 2**stage
        out = width if basic else SEVERAL * width
        sizes = [(width, 3), (width, 3)] if basic else [(width, 1), (width, 3), (out, 1)]
        for number in range(count):
            block, through = f"layer{stage + 1}.{number}", into
            for place, (channels, size) in enumerate(sizes, 1):
                convolution(f"{block}.conv{place}", channels, through, size)
                norm(f"{block}.bn{place}", channels)
                through = channels
            if number == 0 and (into != out or stage):
                convolution(f"{block}.downsample.0", out, into, 1)
                norm(f"{block}.downsample.1", out)
            into = out
    state["fc.weight"] = torch.rand(1000, into, generator=chance)
    state["fc.bias"] = torch.rand(1000, generator=chance)
    return state


def with_deep_stem(state):
    """The same as OpenMMLab's v1c: three 3x3 convolutions instead of one of 7x7."""
    stem = {}
    base, chance = state["conv1.weight"].shape[0], torch.Generator().manual_seed(0)
    half = base // 2
    for place, (out, into) in enumerate([(half, 3), (half, half), (base, half)]):
        stem[f"stem.{3 * place}.weight"] = torch.rand(out, into, 3, 3, generator=chance)
        for key in ("weight", "bias", "running_mean", "running_var"):
            stem[f"stem.{3 * place + 1}.{key}"] = torch.rand(out, generator=chance)
    return stem | {k: v for k, v in state.items() if not k.startswith(("conv1.", "bn1."))}
