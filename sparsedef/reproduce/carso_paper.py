"""Published figures that stand beside CARSO's table; nothing here was measured here.

Source: RobustBench's model information, linf 8/255, standard AutoAttack. CARSO's own figures are
left out: they could not be checked against the paper.
"""

from __future__ import annotations

# scenario -> clean and AutoAttack accuracy of the base, and the best adversarial training named
BASES: dict[str, tuple[str, str, str]] = {
    "CIFAR-10, WRN-28-10 (Cui 2023)": ("92.16", "67.73", "71.07 (Peng 2023)"),
    "CIFAR-100, WRN-28-10 (Cui 2023)": ("73.85", "39.18", "42.67 (Wang 2023, WRN-70-16)"),
}
UNCHECKED = "not checked"
EPS = 8 / 255
PUBLISHED = (
    "Published: AutoAttack rand (APGD-CE and APGD-DLR, 100 steps, EOT 20) and PGD of 200 steps of "
    "0.007 with EOT 20, through float32 PeeL, success decided by one answer."
)
