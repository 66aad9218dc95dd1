"""Cost beside figures that do not come from us."""

from pathlib import Path

import mmdet
import pytest
import torch
from mmcv.cnn.bricks import GeneralizedAttention
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from torch import nn

from plugins.attention import GeneralizedAttention2d
from plugins.attention.core.cost import count
from plugins.attention.core.word import TERM_SETS
from plugins.attention.maps import cost

SHIPPED = Path(mmdet.__file__).parent / ".mim/configs/faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
PUBLISHED_GMACS, PUBLISHED_MPARAMS = 207.07, 41.53
"""What MMDetection's get_flops.py prints for Faster R-CNN R50-FPN and an image of 1280x800, where
it is commonly quoted from. It adds normalisation, pooling and enlargement to the MACs, and leaves
out parameters that are not trained (the first stage)."""
REGIONS = 1000


class Detector(nn.Module):
    """MMDetection's own Faster R-CNN from its own config, on an image and cropped features."""

    def __init__(self):
        super().__init__()
        register_all_modules(init_default_scope=True)
        config = Config.fromfile(SHIPPED).model
        config.backbone.init_cfg = None
        self.detector = MODELS.build(config)

    def forward(self, image, regions):
        levels = self.detector.rpn_head(self.detector.extract_feat(image))
        return [map_ for level in levels for map_ in level] + [
            *self.detector.roi_head.bbox_head(regions)
        ]


@pytest.fixture(scope="module", name="ours")
def _ours():
    with torch.device("meta"):
        model = Detector()
        inputs = torch.zeros(1, 3, 800, 1280), torch.zeros(REGIONS, 256, 7, 7)
    return model, count(model, lambda: model(*inputs), [3, 800, 1280])


def test_a_detector_costs_what_is_published(ours):
    model, cost = ours
    assert cost.model["macs"] / 1e9 == pytest.approx(PUBLISHED_GMACS, rel=5e-3)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert f"{trained / 1e6:.2f}" == f"{PUBLISHED_MPARAMS}"


def test_mmengines_counter_finds_the_same_products(ours):
    """A counter of its own, by tracing, on a CPU; MACs grow with the image alike."""
    with torch.device("meta"):
        inputs = torch.zeros(1, 3, 128, 192), torch.zeros(2, 256, 7, 7)
    small = count(ours[0], lambda: ours[0](*inputs), [3, 128, 192])
    detector = Detector()
    detector.eval()
    detector.detector.eval()
    with torch.no_grad():
        on_cpu = tuple(torch.zeros(tensor.shape) for tensor in inputs)
        theirs = FlopAnalyzer(detector, on_cpu).by_operator()
    assert theirs["conv"] + theirs["linear"] == small.model["macs"]


@pytest.mark.parametrize("channels", [256, 512])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_parameters_are_those_of_mmcvs_module(terms, channels):
    theirs = GeneralizedAttention(channels, num_heads=8, attention_type=terms, kv_stride=2)
    parameters = sum(parameter.numel() for parameter in theirs.parameters())
    arguments = {"heads": 8, "terms": terms, "kv_stride": 2}
    ours = GeneralizedAttention2d(channels, **arguments)
    assert sum(parameter.numel() for parameter in ours.parameters()) == parameters
    form = cost.generalized((50, 84), channels, **arguments)
    assert form.parameters == parameters
