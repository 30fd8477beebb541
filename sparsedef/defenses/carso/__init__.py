"""CARSO: adversarial training and purification blended, with all that it is compared with."""

from sparsedef.defenses.carso.aggregation import (
    AGGREGATIONS,
    literal_peel,
    log_domain,
    mean_logit,
    mean_probability,
    vote,
)
from sparsedef.defenses.carso.carso import CARSO, FixedCARSO, VotingCARSO
from sparsedef.defenses.carso.denoiser import ConditionalDenoiser, ExternalPurifier
from sparsedef.defenses.carso.fitting import (
    PRESETS,
    Sizes,
    fit_purifier,
    load_purifier,
    make_purifier,
    purifier_settings,
    run_training,
)
from sparsedef.defenses.carso.shipped import SHIPPED, load_shipped_carso, shipped_files

__all__ = [
    "AGGREGATIONS",
    "CARSO",
    "PRESETS",
    "SHIPPED",
    "ConditionalDenoiser",
    "ExternalPurifier",
    "FixedCARSO",
    "Sizes",
    "VotingCARSO",
    "fit_purifier",
    "literal_peel",
    "load_purifier",
    "load_shipped_carso",
    "log_domain",
    "make_purifier",
    "mean_logit",
    "mean_probability",
    "purifier_settings",
    "run_training",
    "shipped_files",
    "vote",
]
