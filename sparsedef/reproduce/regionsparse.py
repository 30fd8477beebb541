"""The experiments of the RegionSparse paper on data that is here, with the attack that it lacks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sparsedef.data import Dataset, Split
from sparsedef.defenses import ABLATIONS, Purifier, RegionSparse
from sparsedef.evaluation import AttackPlan, Cache, Contender, Evaluation, Plan, Task
from sparsedef.evaluation.assemble import bare, defend, only_right, trained
from sparsedef.evaluation.contenders import NONE
from sparsedef.evaluation.report import PaperTable
from sparsedef.evaluation.rows import LONGER, UNBOUNDED
from sparsedef.evaluation.threats import GRAY_BOX, TRANSFER, UNDEFENDED
from sparsedef.reproduce.layout import ADAPTIVE, cells, clean_cell, figure, one_by_one
from sparsedef.reproduce.regionsparse_paper import (
    CLAIMS,
    COLUMNS,
    L2,
    LINF,
    NOT_THERE,
    TABLE_2,
)

AT_EPS = 8 / 255
BASELINES = (
    "tvm", "total_variation", "jpeg", "feature_squeezing", "comdefend", "non_local_means",
    "bilateral",
)  # fmt: skip
RETRAINED = ("regionsparse", "jpeg", "total_variation")
OTHERS = ("wrn-10-1", "wrn-10-2")  # networks that attacks are transferred from
Say = Callable[[str], object]
Builder = Callable[[Dataset, Cache, int, Say, Collection[str]], dict[str, Contender]]


@dataclass(frozen=True)
class Experiment:
    """One table or figure of the paper.

    Args:
        name: Such as ``"table 2"``.
        title: What it shows.
        contenders: Builds who is evaluated, but for the names that are left out.
        lay_out: Writes the paper's layout from what was measured.
        strengths: L-infinity radii.
        budgets: L2 radii, relative to the mean norm.
        with_transfer: Score what was made on each bare classifier on all others.
        n_quick: Test images of a quick run.
        slow: Contenders that a quick run leaves out.
    """

    name: str
    title: str
    contenders: Builder
    lay_out: Callable[[Evaluation], list[PaperTable]]
    strengths: tuple[float, ...]
    budgets: tuple[float, ...]
    with_transfer: bool = False
    n_quick: int = 24
    slow: tuple[str, ...] = ()

    def plan(self, *, seed: int, quick: bool) -> Plan:
        """The paper's four attacks at its strengths, and the checks of an honest table."""
        strengths, budgets = self.strengths, self.budgets
        if quick and len(strengths) > 3:
            strengths, budgets = strengths[1::2], budgets[::2]
        steps = 10  # CleverHans' default, which the paper used
        margin = {"loss": "margin"}
        smallest = {
            "steps": 30 if quick else 100, "rounds": 2 if quick else 4,
            "learning_rate": 0.05, "first_weight": 3.0,
        }  # fmt: skip
        attacks = (
            AttackPlan("fgsm", strengths, options=margin),
            AttackPlan(
                "bim", strengths, options=margin | {"steps": steps},
                from_gray_box=True, stand_ins="" if quick else "all",
            ),
            AttackPlan("cw_l2", budgets, "l2", smallest, from_gray_box=True),
            AttackPlan(
                "mi_fgsm", budgets, "l2", margin | {"steps": steps}, from_gray_box=True
            ),
            AttackPlan("square", strengths[1:2], options={"queries": 100 if quick else 1000}),
            AttackPlan("bim", strengths[1:2], options=margin | {"steps": 5 * steps}, check=LONGER),
            AttackPlan("pgd", (1.0,), options=margin | {"steps": 20}, check=UNBOUNDED),
        )  # fmt: skip
        return Plan(attacks, seed=seed, draws=4 if quick else 20, with_transfer=self.with_transfer)

    def task(
        self,
        dataset: Dataset,
        cache: Cache,
        *,
        n: int,
        seed: int,
        quick: bool = False,
        say: Say = lambda title: None,
    ) -> Task:
        """Builds everybody, and takes test images that the bare classifier has right, as the paper.

        Args:
            dataset: Images.
            cache: Where trained parts are kept.
            n: Test images at most.
            seed: Of everything random.
            quick: Leave out what is too slow for minutes, and say so.
            say: Told in a few words what is being done now.
        """
        left_out = self.slow if quick else ()
        contenders = self.contenders(dataset, cache, seed, say, left_out)
        right = only_right(contenders[NONE].model, dataset.test)
        test = right.take(n)
        share = f"{len(right) / len(dataset.test):.1%} of {len(dataset.test)}"
        facts = (
            ("images", "those that the bare classifier has right, as in the paper: flattering"),
            ("accuracy before that choice", share),
            ("training images", str(len(dataset.train))),
            *((f"{name} is left out of a quick run", "it is too slow") for name in left_out),
        )
        return Task(dataset.name, test, dataset.classes, contenders, dataset.source, facts)


def _region(
    classifier: nn.Module, dataset: Dataset, seed: int, say: Say, *, bare_name: str = NONE
) -> Contender:
    (found,) = defend(
        classifier, ["regionsparse"], dataset.train, seed=seed, bare=bare_name, say=say
    ).values()
    return found


def _fgsm_at(plain: nn.Module, dataset: Dataset, cache: Cache, seed: int, say: Say) -> nn.Module:
    return trained(
        cache, "fgsm_at", dataset, seed=seed, objective="fgsm_at", eps=AT_EPS, start=plain, say=say
    )


def _table_2(
    dataset: Dataset, cache: Cache, seed: int, say: Say, left_out: Collection[str] = ()
) -> dict[str, Contender]:
    plain = trained(cache, "small_cnn", dataset, seed=seed, say=say)
    hardened = _fgsm_at(plain, dataset, cache, seed, say)
    return {
        NONE: bare(plain),
        "fgsm_at": bare(hardened),
        "regionsparse": _region(plain, dataset, seed, say),
        "regionsparse + fgsm_at": _region(hardened, dataset, seed, say, bare_name="fgsm_at"),
    }


def _lay_out_table_2(found: Evaluation) -> list[PaperTable]:
    lines = []
    for name, paper in TABLE_2.items():
        lines.append([name, "paper", *(str(number) for number in paper)])
        # who does not know that the network was hardened attacks the plain one
        kinds = {NONE: (UNDEFENDED,), "fgsm_at": (TRANSFER,)}.get(name, (GRAY_BOX,))
        what = {NONE: "here", "fgsm_at": "here, from none"}.get(name, "here, gray-box")
        lines.append(["", what, clean_cell(found, name), *_row(found, name, kinds)])
        if name != NONE:
            row = _row(found, name, ADAPTIVE)
            lines.append(["", "here, adaptive", clean_cell(found, name), *row])
    head = [
        f"{attack.upper().replace('_', '-')} {_tick(strength, norm)}"
        for attack, norm, strengths in COLUMNS for strength in strengths
    ]  # fmt: skip
    title = (
        f"Table II of the paper, accuracy in %, {found.task.name} ({len(found.task.test)} images)"
    )
    table = PaperTable(title, ["method", "attacker", "clean", *head], lines, NOT_THERE)
    return [table, one_by_one(found, "regionsparse")]


def _row(found: Evaluation, name: str, kinds: Sequence[str]) -> list[str]:
    source = NONE if kinds == (TRANSFER,) else None
    return [
        cell for attack, norm, strengths in COLUMNS
        for cell in cells(found, name, attack, norm, strengths, kinds, source=source)
    ]  # fmt: skip


def _tick(strength: float, norm: str) -> str:
    return f"{strength * 255:.0f}" if norm == "linf" else f"{strength:g}"


def _figure_4(
    dataset: Dataset, cache: Cache, seed: int, say: Say, left_out: Collection[str] = ()
) -> dict[str, Contender]:
    plain = trained(cache, "small_cnn", dataset, seed=seed, say=say)
    found = {NONE: bare(plain)}
    for name, without in ABLATIONS.items():
        say(f"{dataset.name}: fitting {name}")
        part = dataset.train
        model = RegionSparse.fit(plain, part.images, part.labels, seed=seed, without=without)
        found[name] = Contender(model.eval())
    return found


def _figure_5(
    dataset: Dataset, cache: Cache, seed: int, say: Say, left_out: Collection[str] = ()
) -> dict[str, Contender]:
    plain = trained(cache, "small_cnn", dataset, seed=seed, say=say)
    hardened = _fgsm_at(plain, dataset, cache, seed, say)
    names = [name for name in ("regionsparse", *BASELINES) if name not in left_out]
    defended = defend(plain, names, dataset.train, seed=seed, say=say)
    return {NONE: bare(plain), "fgsm_at": bare(hardened), **defended}


def _figure_6(
    dataset: Dataset, cache: Cache, seed: int, say: Say, left_out: Collection[str] = ()
) -> dict[str, Contender]:
    plain = trained(cache, "small_cnn", dataset, seed=seed, say=say)
    found = {NONE: bare(plain)}
    for name, contender in defend(plain, RETRAINED, dataset.train, seed=seed, say=say).items():
        assert contender.purifier is not None
        say(f"{dataset.name}: {name} on the training images")
        part = dataset.train
        seen = Split(purified(contender.purifier, part.images), part.labels, part.ids)
        again = trained(cache, f"after {name}", dataset, seed=seed, train=seen, say=say)
        found[name] = contender
        found[f"network after {name}"] = bare(again)
        (defended,) = defend(
            again, [name], part, seed=seed, bare=f"network after {name}", say=say
        ).values()
        found[f"{name}, retrained"] = defended
    return found


def _figure_8(
    dataset: Dataset, cache: Cache, seed: int, say: Say, left_out: Collection[str] = ()
) -> dict[str, Contender]:
    found = _figure_5(dataset, cache, seed, say, left_out)
    for name in OTHERS:
        if name in left_out:
            continue
        other = trained(cache, name, dataset, seed=seed, model=name, say=say)
        found[name] = bare(other)
    return found


@torch.no_grad()
def purified(defense: Purifier, images: Tensor, batch_size: int = 256) -> Tensor:
    """Cleans many images ``[B, 3, H, W]``, some at a time."""
    return torch.cat([defense.purify(some) for some in images.split(batch_size)])


def _panels(
    number: int,
    names: Callable[[Evaluation], Sequence[str]],
    kind: str,
    sources: Sequence[str] = (),
) -> Callable[[Evaluation], list[PaperTable]]:
    """Lays a figure out: a panel for each attack, and for each source of transferred ones."""

    def lay_out(found: Evaluation) -> list[PaperTable]:
        tables = []
        for attack, norm, _ in COLUMNS:
            own = [r for r in found.rows if (r.norm, r.check) == (norm, "") and r.strength > 0]
            strengths = sorted({r.strength for r in own if r.attack.startswith(attack)})
            for source in sources or (None,):
                if source is not None and source not in found.task.contenders:
                    continue
                title = f"Figure {number} of the paper" + (f", from {source}" if source else "")
                note = f"{CLAIMS[number]} {NOT_THERE}"
                tables.append(
                    figure(found, title, names(found), attack, norm, strengths, kind,
                           source=source, note=note)
                )  # fmt: skip
        return tables

    return lay_out


def _defended(found: Evaluation) -> list[str]:
    return [name for name in found.task.contenders if name not in OTHERS and name != "fgsm_at"]


def _retrained(found: Evaluation) -> list[str]:
    return [NONE, *(name for name in found.task.contenders if name.endswith(", retrained"))]


FIGURE_LINF = (2 / 255, 6 / 255, 10 / 255, 14 / 255, 18 / 255, 22 / 255)
FIGURE_L2 = (0.01, 0.05, 0.1, 0.15, 0.2)

EXPERIMENTS = {
    "table 2": Experiment(
        "table 2", "RegionSparse, adversarial training, and both", _table_2, _lay_out_table_2,
        LINF, L2, with_transfer=True, n_quick=48,
    ),
    "figure 4": Experiment(
        "figure 4", "what each stage of RegionSparse is worth", _figure_4,
        _panels(4, _defended, GRAY_BOX), FIGURE_LINF, FIGURE_L2,
    ),
    "figure 5": Experiment(
        "figure 5", "RegionSparse among other defenses, gray-box", _figure_5,
        _panels(5, _defended, GRAY_BOX), FIGURE_LINF, FIGURE_L2, n_quick=12,
        slow=("tvm",),
    ),
    "figure 6": Experiment(
        "figure 6", "networks retrained on transformed images, attacked by what was made on the "
        "original one", _figure_6, _panels(6, _retrained, TRANSFER, (NONE,)),
        FIGURE_LINF, FIGURE_L2, with_transfer=True, n_quick=16,
    ),
    "figure 7": Experiment(
        "figure 7", "networks retrained on transformed images, attacked without the transformation",
        _figure_6, _panels(7, _retrained, GRAY_BOX), FIGURE_LINF, FIGURE_L2, with_transfer=True,
        n_quick=16,
    ),
    "figure 8": Experiment(
        "figure 8", "attacks made on other networks", _figure_8,
        _panels(8, _defended, TRANSFER, OTHERS), FIGURE_LINF, FIGURE_L2, with_transfer=True,
        n_quick=4, slow=("tvm", "comdefend", OTHERS[1]),
    ),
}  # fmt: skip
