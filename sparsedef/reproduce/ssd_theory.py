"""Beside the accuracies: how far attacks move embeddings and codes, and how the atoms lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sparsedef.clip import unit
from sparsedef.concepts import Dictionary, coherence, load_concepts
from sparsedef.defenses.semantic import SSD
from sparsedef.evaluation.report import PaperTable
from sparsedef.reproduce.ssd_attacks import ASCENT, Findings
from sparsedef.reproduce.ssd_heads import right
from sparsedef.reproduce.ssd_world import World

SHOWN_EDITS = ("snow", "rain", "fog", "night", "sunset", "bright", "dark", "blurred")
SLACK = 1e-3  # of a bound, for codes solved to a tolerance


@dataclass(frozen=True)
class Moved:
    """What one attack did to SSD: medians over the scenes that it changed.

    Args:
        attack: Its name.
        n: Scenes that it changed.
        accuracy: On all scenes.
        size: ||a||, of the change of the centred embedding.
        leak: eta = ||D a||_inf.
        share_in_span: Of ||a||^2 in the span of the atoms.
        jaccard: Of the supports before and after.
        code_change: ||dz||.
        code_bound: What it cannot exceed.
        fit_change: ||dz D||.
        fit_bound: What that cannot exceed.
        within: Share of these scenes on which both bounds hold (but for the solver's tolerance).
    """

    attack: str
    n: int
    accuracy: float
    size: float
    leak: float
    share_in_span: float
    jaccard: float
    code_change: float
    code_bound: float
    fit_change: float
    fit_bound: float
    within: float


def measure(world: World, ssd: SSD, found: Findings) -> list[Moved]:
    """Measures single edits, then every attack on SSD."""
    versions = world.test_versions
    edits = {
        name: versions.embeddings[versions.names.index(name)]
        for name in SHOWN_EDITS if name in versions.names
    }  # fmt: skip
    attacks = {f"edit: {name}": embeddings for name, embeddings in edits.items()}
    attacks |= {name: each.embeddings for name, each in found.own.items()}
    if found.by_stand_in is not None:
        attacks[f"{ASCENT}, along"] = found.by_stand_in.embeddings
    attacks |= {f"{k}, stand-in": v.embeddings for k, v in found.from_stand_in.items()}
    return [_moved(world, ssd, name, embeddings) for name, embeddings in attacks.items()]


def _moved(world: World, ssd: SSD, name: str, attacked: Tensor) -> Moved:
    clean, labels = world.test.embeddings, world.test.labels
    accuracy = float(right(ssd, attacked, labels).double().mean())
    is_moved = (attacked - clean).norm(dim=1) > 1e-6
    if not is_moved.any():
        return Moved(name, 0, accuracy, 0, 0, 0, 1, 0, 0, 0, 0, 1)
    shift = ssd.shift(clean[is_moved].double(), attacked[is_moved].double())
    within = (shift.code_change <= (1 + SLACK) * shift.code_bound + SLACK) & (
        shift.fit_change <= (1 + SLACK) * shift.fit_bound + SLACK
    )
    columns = ("size", "leak", "share_in_span", "jaccard", "code_change", "code_bound",
               "fit_change", "fit_bound")  # fmt: skip
    medians = {column: float(getattr(shift, column).median()) for column in columns}
    share = float(within.double().mean())
    return Moved(name, int(is_moved.sum()), accuracy, **medians, within=share)


def theory_table(head: str, ssd: SSD, rows: list[Moved]) -> PaperTable:
    """Lays the measurements out, a line an attack."""
    lines = [
        [
            row.attack.replace("_", " "), str(row.n), f"{100 * row.accuracy:.0f}",
            f"{row.size:.2f}", f"{row.leak:.3f}", f"{100 * row.share_in_span:.0f}",
            f"{row.jaccard:.2f}", f"{row.code_change:.2f}", _short(row.code_bound),
            f"{row.fit_change:.2f}", f"{row.fit_bound:.2f}", f"{100 * row.within:.0f}",
        ]
        for row in rows
    ]  # fmt: skip
    return PaperTable(
        f"Theory, {head} head: what attacks do to SSD's embedding and code (alpha {ssd.alpha:.3g})",
        ["attack", "changed", "right %", "‖a‖", "eta", "in span %", "Jaccard", "‖Δz‖", "bound",
         "‖ΔzD‖", "bound", "within %"],
        lines,
        "Medians over the scenes that the attack changed. a: change of the centred embedding; "
        "eta = ‖D a‖∞, what any one atom sees of it: an edit alone can switch no atom on while eta "
        "is below alpha. In span: share of ‖a‖² that lies in the span of the atoms; the rest is "
        "what the residual can absorb. Jaccard: common nonzeros of the codes before and after. "
        "Bounds: ‖Δz‖ ≤ ‖D_T a‖ / s² on the atoms T in use, and ‖ΔzD‖ ≤ √⟨D a, Δz⟩; within: "
        "scenes on which both hold. Along, stand-in: see the comparison.",
    )  # fmt: skip


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else f"{value:.0e}"


def geometry(world: World, heads: Mapping[str, SSD]) -> dict[str, Any]:
    """Measures dictionaries, the gap between texts and images, and SSD's own settings.

    Returns:
        Plain values: ``dictionaries`` by name, ``modality_gap``, ``ssd`` by head.
    """
    found: dict[str, Any] = {"dictionaries": {}, "ssd": {}}
    for name, atoms in dictionaries(world).items():
        found["dictionaries"][name] = asdict(coherence(atoms))
    assert world.words.concepts is not None
    images, texts = world.train["clean"].embeddings.mean(0), unit(world.words.concepts).mean(0)
    found["modality_gap"] = {
        "distance_of_means": float((images - texts).norm()),
        "cosine_of_means": float(torch.cosine_similarity(images, texts, dim=0)),
        "norm_of_mean_image": float(images.norm()),
        "norm_of_mean_text": float(texts.norm()),
    }
    for head, ssd in heads.items():
        x = ssd.centre(world.test.embeddings)
        code = ssd.sparse_code(x)
        assert code.codes is not None
        left = code.residual.norm(dim=1) / x.norm(dim=1)
        found["ssd"][head] = {
            "alpha": ssd.alpha,
            "l2": ssd.l2,
            "median_support": float((code.codes != 0).sum(1).double().median()),
            "median_residual": float(left.median()),
        }
    return found


def dictionaries(world: World) -> dict[str, Dictionary]:
    """The dictionary of the comparison, what it was made of, and its alternatives."""
    full = world.atoms_of(world.concepts.texts)
    found = {
        "shapeworld, distinct": world.dictionary,
        "shapeworld": full,
    }
    if world.is_small:
        rich = world.atoms_of(load_concepts("shapeworld-rich").texts)
        found |= {"shapeworld-rich": rich, "shapeworld-rich, distinct": rich.distinct()}
    return found


def geometry_table(values: Mapping[str, Any]) -> PaperTable:
    """Lays out how the atoms lie."""
    lines = []
    for name, each in values["dictionaries"].items():
        singular = each["singular_values"]
        lines.append([
            name, str(each["n_atoms"]), f"{each['mean_cosine']:.2f}",
            f"{each['max_absolute_cosine']:.2f}", f"{each['effective_rank']:.1f}",
            str(next(k for k, held in enumerate(each["energy"], 1) if held >= 0.99)),
            " ".join(f"{value:.2f}" for value in singular[:6]),
        ])  # fmt: skip
    gap = values["modality_gap"]
    heads = "; ".join(
        f"{head} head: alpha {each['alpha']:.3g}, median support {each['median_support']:.0f}, "
        f"residual {100 * each['median_residual']:.0f} % of the embedding"
        for head, each in values["ssd"].items()
    )
    return PaperTable(
        "The dictionaries (centred atoms)",
        ["concepts", "atoms", "mean cos", "max |cos|", "eff. rank", "99 % energy", "σ₁ … σ₆"],
        lines,
        f"Modality gap: the mean image and the mean text are {gap['distance_of_means']:.2f} apart "
        f"(cosine {gap['cosine_of_means']:.2f}), hence both are centred. SSD: {heads}.",
    )
