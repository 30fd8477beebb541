"""Classifiers: images ``[B, 3, H, W]`` in [0, 1] to logits, normalised inside."""

from sparsedef.models.by_name import load_model
from sparsedef.models.normalised import Normalised
from sparsedef.models.small_cnn import SmallCNN
from sparsedef.models.wide_resnet import WideResNet

__all__ = ["Normalised", "SmallCNN", "WideResNet", "load_model"]
