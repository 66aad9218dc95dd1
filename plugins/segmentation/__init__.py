"""Semantic segmentation with MMSegmentation: a dilated ResNet with a convolutional head."""
