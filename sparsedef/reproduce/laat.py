"""The experiments of the LAAT paper: zero-shot episodes, generalised zero-shot, and few-shot."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsedef.data import Split
from sparsedef.data.class_split import places
from sparsedef.defenses.laat import LAAT
from sparsedef.evaluation import (
    AttackPlan,
    Cache,
    Contender,
    Evaluation,
    Plan,
    Task,
    WorkBar,
    evaluate,
    total_cost,
)
from sparsedef.evaluation.contenders import NONE
from sparsedef.evaluation.episodes import (
    Build,
    EpisodeEvaluation,
    draw_episodes,
    episodes_cost,
    evaluate_episodes,
)
from sparsedef.evaluation.rows import LONGER, UNBOUNDED
from sparsedef.reproduce.laat_methods import METHODS, Network, Say, Setting, train_method
from sparsedef.reproduce.laat_shots import Shots, divide
from sparsedef.reproduce.laat_sizes import MAIN, Sizes

TEMPERATURE = 0.01  # of the scale-free attack
SCALED = ", attacked at T=0.01"
SHOWN_SHOTS = 5  # of prototypes in the main table


@dataclass(frozen=True)
class Found:
    """All that was measured.

    Args:
        setting: On what, and how networks were trained.
        sizes: How much.
        networks: By method.
        missing: Methods that could not run, and why.
        zero_shot: Five-way episodes of unseen classes.
        auto: The same under AutoAttack, or under our APGD where it is not installed.
        auto_name: Which.
        general: All classes at once, images of seen and of unseen ones.
        shots: Few-shot episodes.
    """

    setting: Setting
    sizes: Sizes
    networks: Mapping[str, Network]
    missing: Mapping[str, str]
    zero_shot: EpisodeEvaluation
    auto: EpisodeEvaluation
    auto_name: str
    general: Evaluation
    shots: Sequence[Shots]


def train_all(
    cache: Cache, setting: Setting, names: Sequence[str], say: Say
) -> tuple[dict[str, Network], dict[str, str]]:
    """Trains all methods that can be trained here; says why the others cannot."""
    networks, missing = {}, {}
    for name in names:
        if METHODS[name].head == "clip" and importlib.util.find_spec("open_clip") is None:
            missing[name] = "open_clip is not installed (pip install 'sparsedef[clip]')"
        elif METHODS[name].anchors == "sparse" and setting.concepts is None:
            missing[name] = "no concepts are given for this data set"
        else:
            networks[name] = train_method(cache, name, setting, say)
    return networks, missing


def contenders_of(networks: Mapping[str, Network], supports: Split) -> Build:
    """Classes to all classifiers of them: by anchors, or by prototypes of the support images."""

    def build(classes: tuple[int, ...]) -> dict[str, Contender]:
        found = {}
        for name, network in networks.items():
            if network.anchors is None:
                means = prototypes(network, supports, classes, SHOWN_SHOTS)
                found[f"{name}, {SHOWN_SHOTS}-shot"] = Contender(
                    LAAT(network.encoder, means).eval(), None
                )
            else:
                found[name] = Contender(network.zero_shot(classes), None)
        for name in MAIN:
            if name in networks:
                scaled = networks[name].zero_shot(classes, TEMPERATURE)
                found[name + SCALED] = Contender(scaled, None)
        return found

    return build


def prototypes(network: Network, supports: Split, classes: tuple[int, ...], n_shot: int) -> Tensor:
    """Prototypes of the first support images of some classes, ``[C, M]``."""
    rows = [torch.nonzero(supports.labels == label)[:n_shot, 0] for label in classes]
    labels = torch.arange(len(classes)).repeat_interleave(torch.tensor([len(r) for r in rows]))
    return network.means(supports.images[torch.cat(rows)], labels, len(classes))


def zero_shot_plan(eps: float, sizes: Sizes, seed: int) -> Plan:
    """The published attacks, at the published ratios of step and radius."""
    step = eps / 4
    attacks = (
        AttackPlan("fgsm", (eps,)),
        AttackPlan("pgd", (eps, 2 * eps), options={"steps": 20, "step_size": step}),
        AttackPlan("cw_linf", (eps,), options={"steps": 30, "step_size": eps / 10}),
        AttackPlan("pgd", (eps,), options={"steps": sizes.longer, "step_size": step}, check=LONGER),
        AttackPlan("pgd", (1.0,), options={"loss": "margin", "steps": 20}, check=UNBOUNDED),
    )
    return Plan(attacks, seed=seed, batch_size=100, n_pictures=6)


def auto_plan(eps: float, seed: int) -> tuple[str, Plan]:
    """AutoAttack with C - 1 targets; without its package our two APGDs, named so."""
    if importlib.util.find_spec("pyautoattack") is not None:
        attacks: tuple[AttackPlan, ...] = (AttackPlan("autoattack", (eps,)),)
        return "AutoAttack", Plan(attacks, seed=seed, batch_size=100, n_pictures=0)
    attacks = (AttackPlan("apgd", (eps,)), AttackPlan("apgd_t", (eps,)))
    return "APGD and APGD-T (own)", Plan(attacks, seed=seed, batch_size=100, n_pictures=0)


def run_zero_shot(
    setting: Setting,
    networks: Mapping[str, Network],
    sizes: Sizes,
    cache: Cache,
    bar: WorkBar,
) -> tuple[EpisodeEvaluation, EpisodeEvaluation, str]:
    """Five-way episodes of unseen classes, under the published attacks and under AutoAttack."""
    data, eps = setting.data, setting.schedule.eps
    supports, queries = divide(data.test, sizes.supports)
    n_way = min(5, len(data.unseen))
    episodes = draw_episodes(
        queries.labels, sizes.episodes, n_way=n_way, n_query=sizes.queries, seed=setting.seed
    )
    build = contenders_of(networks, supports)
    plan = zero_shot_plan(eps, sizes, setting.seed)
    bar.expect(episodes_cost(queries, episodes, build, plan))
    first = evaluate_episodes(
        f"{data.name}, unseen classes, {n_way}-way", queries, data.classes, episodes, build, plan,
        cache=cache, source=data.source, advance=bar.advance,
    )  # fmt: skip
    name, plan = auto_plan(eps, setting.seed)
    kept = sizes.auto_methods or tuple(networks)

    def few(classes: tuple[int, ...]) -> dict[str, Contender]:
        return {k: each for k, each in build(classes).items() if _is_kept(k, kept)}

    few_episodes = episodes[: sizes.auto_episodes]
    bar.expect(episodes_cost(queries, few_episodes, few, plan))
    auto = evaluate_episodes(
        f"{data.name}, unseen classes, {n_way}-way, {name}", queries, data.classes,
        few_episodes, few, plan, cache=cache, source=data.source,
        advance=bar.advance,
    )  # fmt: skip
    return first, auto, name


def run_general(
    setting: Setting,
    networks: Mapping[str, Network],
    sizes: Sizes,
    cache: Cache,
    bar: WorkBar,
) -> Evaluation:
    """All seen and unseen classes at once, on held-out images of both."""
    data, eps = setting.data, setting.schedule.eps
    classes = (*data.seen, *data.unseen)
    _, queries = divide(data.test, sizes.supports)
    seen, unseen = data.held_out.take(sizes.held_out), queries.take(sizes.held_out)
    images = torch.cat([seen.images, unseen.images])
    labels = places(torch.cat([seen.labels, unseen.labels]), classes)
    test = Split(images, labels, (*seen.ids, *unseen.ids))
    contenders = {
        name: Contender(network.zero_shot(classes), None)
        for name, network in networks.items()
        if network.anchors is not None
    }
    task = Task(
        f"{data.name}, generalised: {len(classes)} classes", test, data.names(classes), contenders,
        data.source,
    )  # fmt: skip
    attack = AttackPlan("pgd", (eps,), options={"steps": 20, "step_size": eps / 4})
    plan = Plan((attack,), seed=setting.seed, batch_size=100, n_pictures=0)
    bar.expect(total_cost(plan, task))
    return evaluate(task, plan, cache=cache, advance=bar.advance)


def _is_kept(name: str, kept: Sequence[str]) -> bool:
    """Whether the costly attacks are run; ``"none"`` is in every evaluation."""
    return name == NONE or name.removesuffix(f", {SHOWN_SHOTS}-shot") in kept
