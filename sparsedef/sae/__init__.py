"""Sparse autoencoders: better codes for a decoder that is already trained."""

from sparsedef.sae.curve import VarianceCurve, explained_variance_curve
from sparsedef.sae.pursuit import encode_with_pursuit

__all__ = ["VarianceCurve", "encode_with_pursuit", "explained_variance_curve"]
