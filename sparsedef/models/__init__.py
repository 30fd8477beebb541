"""Classifiers: images ``[B, 3, H, W]`` in [0, 1] to logits, normalised inside."""

from sparsedef.models.small_cnn import SmallCNN

__all__ = ["SmallCNN"]
