"""What MMEngine's tasks have in common: the blocks, the sites, the training loop.

A stock config uses the blocks without anything else of this project::

    custom_imports = dict(imports=["plugins.openmmlab.blocks"])
    model = dict(backbone=dict(plugins=[dict(
        cfg=dict(type="GeneralizedAttention2d", terms="0010"),
        stages=(False, False, True, True), position="after_conv2")]))
"""
