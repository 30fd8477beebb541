"""What the RegionSparse paper reports, for the line beside ours; nothing here was measured here.

Source: the paper's Table II (Inception-v3, ImageNet images that the network has right; gray-box:
no attack of the paper knows the defense) and the figures that its text gives.
"""

from __future__ import annotations

LINF = (2 / 255, 14 / 255, 22 / 255)
L2 = (0.01, 0.14, 0.2)
COLUMNS = (
    ("fgsm", "linf", LINF),
    ("bim", "linf", LINF),
    ("cw_l2", "l2", L2),
    ("mi_fgsm", "l2", L2),
)

# method -> clean, then the four attacks at three strengths each, in percent
TABLE_2: dict[str, tuple[int, ...]] = {
    "none": (100, 25, 22, 24, 15, 0, 0, 14, 13, 18, 24, 3, 1),
    "fgsm_at": (83, 70, 52, 51, 76, 52, 42, 79, 74, 66, 74, 61, 51),
    "regionsparse": (84, 75, 60, 55, 78, 70, 67, 83, 80, 76, 81, 75, 68),
    "regionsparse + fgsm_at": (91, 85, 73, 69, 85, 79, 76, 86, 85, 82, 85, 81, 79),
}

CLAIMS = {
    4: "The paper's text: each stage helps; the full method gains up to 20 points at an L∞ radius "
    "of 10, where it has 70%, and has over 80% at an L2 distance of 0.1; the smoothing steps are "
    "worth up to 10 points.",
    5: "The paper's text: gray-box accuracy of 55-85% (L∞) and 70-85% (L2); a drop of less than 30 "
    "points over the range of strengths, less than 10 for CW-L2; against weak attacks it is not "
    "the best method.",
    6: "The paper's text: retraining the network on transformed images adds about 10 points, to "
    "over 90%, against what was made on the original network.",
    7: "The paper's text gives no number for attacks on the retrained network, made without the "
    "defense.",
    8: "The paper's text: over 80% against attacks transferred from two other networks; total "
    "variation and JPEG are better against CW-L2.",
}
NOT_THERE = (
    "Every attack of the paper is gray-box or weaker: none differentiates through the defense. The "
    "lines named adaptive are what it lacks: the same attack, at the same strength, knowing the "
    "defense, image by image the strongest of its variants."
)
