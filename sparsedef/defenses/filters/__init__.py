"""Image filters that defenses are built from; all in torch, all batched."""

from sparsedef.defenses.filters.bilateral import bilateral_filter
from sparsedef.defenses.filters.localise import Localiser, box_mask
from sparsedef.defenses.filters.non_local_means import non_local_means

__all__ = ["Localiser", "bilateral_filter", "box_mask", "non_local_means"]
