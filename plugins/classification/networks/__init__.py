"""Classifiers that are attention throughout, where no block stands in another network. Torch only.

Each is a module with ``forward(images) -> logits`` and ``loss(images, labels) -> dict``: the losses
whose names begin with ``loss`` are added and minimised, the rest is shown. Images are (N, 3, H, W),
normalised; labels (N,); logits (N, classes). The attributes ``training_step`` (steps made) and
``training_steps`` (in all; None if unknown) are set before each step. ``looked(images)`` returns
what there is to look at by name: masks (N, h, w), and boxes (N, 4) as x0, y0, x1, y1 in pixels.
"""
