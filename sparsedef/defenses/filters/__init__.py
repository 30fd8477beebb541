"""Image filters that defenses are built from; all in torch, all batched."""

from sparsedef.defenses.filters.bilateral import bilateral_filter
from sparsedef.defenses.filters.bit_depth import reduce_bit_depth
from sparsedef.defenses.filters.jpeg import jpeg_round_trip, smooth_jpeg
from sparsedef.defenses.filters.localise import Localiser, box_mask
from sparsedef.defenses.filters.median import median_filter
from sparsedef.defenses.filters.non_local_means import non_local_means
from sparsedef.defenses.filters.total_variation import total_variation

__all__ = [
    "Localiser",
    "bilateral_filter",
    "box_mask",
    "jpeg_round_trip",
    "median_filter",
    "non_local_means",
    "reduce_bit_depth",
    "smooth_jpeg",
    "total_variation",
]
