"""Who is compared in CARSO's experiments: trained once, kept, and put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn

from sparsedef.data import Dataset
from sparsedef.defenses import Defense
from sparsedef.defenses.carso import (
    CARSO,
    ConditionalDenoiser,
    ExternalPurifier,
    FixedCARSO,
    Sizes,
    VotingCARSO,
    fit_purifier,
    load_purifier,
    make_purifier,
    purifier_settings,
)
from sparsedef.defenses.carso.sparse import SparseCARSO
from sparsedef.evaluation import Cache, Contender, fingerprint
from sparsedef.evaluation.assemble import bare, trained
from sparsedef.evaluation.contenders import NONE
from sparsedef.models import load_model
from sparsedef.models.carso import CARSOPurifier, Decoder
from sparsedef.models.from_file import from_file
from sparsedef.models.taps import INPUT, tapped_layers
from sparsedef.reproduce.carso_sizes import Amount

CARSO_NAME, FIXED_NAME, SPARSE_NAME = "carso", "carso, fixed seed", "sparse code (not CARSO)"
AT_EPS = 8 / 255
Say = Callable[[str], object]


@dataclass(frozen=True)
class Choice:
    """What was given instead of being trained here.

    Args:
        base: The classifier, as ``load_model`` takes it; ``None``: trained here.
        weights: Of a base by its name.
        purifier: File of ``sparsedef train carso``; ``None``: trained here.
        external: ``FILE.py:function`` of a purifier from outside, such as a diffusion model.
        nominal: Train against 4/255 and 8/255.
        title: What to call the base; its file's name where it is empty.
    """

    base: str | None = None
    weights: str | None = None
    purifier: str | None = None
    external: str | None = None
    nominal: bool = False
    title: str = ""


@dataclass(frozen=True)
class Parts:
    """Everybody.

    Args:
        main: The base, CARSO, and CARSO of a fixed seed.
        ablations: The same CARSO, other aggregations and sample counts, other purifiers.
        facts: What a reader should know of them.
    """

    main: dict[str, Contender]
    ablations: dict[str, Contender]
    facts: tuple[tuple[str, str], ...]


def build_parts(
    dataset: Dataset, cache: Cache, amount: Amount, choice: Choice, seed: int, say: Say
) -> Parts:
    """Trains, or reads, the base and all purifiers."""
    base = _base(dataset, cache, amount, choice, seed, say)
    sizes, taps = amount.purifier, tapped_layers(base)
    if choice.purifier is None:
        purifier = _purifier(dataset, cache, base, sizes, taps, choice, seed, say)
    else:
        purifier, taps = load_purifier(choice.purifier, base)

    def carso(kind: type[CARSO] = CARSO, **options: Any) -> Contender:
        # networks of this size gain nothing from computing a sample twice
        return Contender(kind(base, purifier, taps=taps, is_checkpointed=False, **options))

    main = {NONE: bare(base), CARSO_NAME: carso(), FIXED_NAME: carso(FixedCARSO, seed=seed)}
    ablations = {NONE: main[NONE], CARSO_NAME: main[CARSO_NAME]}
    ablations |= {f"carso, n = {n}": carso(n_samples=n) for n in amount.n_samples}
    for word in ("mean_logit", "mean_probability"):
        ablations[f"carso, {word.replace('_', ' ')}"] = carso(aggregation=word)
    ablations["carso, vote"] = carso(VotingCARSO)
    pixels = _purifier(dataset, cache, base, sizes, (INPUT,), choice, seed, say)
    ablations["no inner features"] = Contender(
        CARSO(base, pixels, taps=(INPUT,), is_checkpointed=False)
    )
    plain = replace(sizes, latent=0)
    denoiser = _purifier(dataset, cache, base, plain, (INPUT,), choice, seed, say)
    ablations["denoiser only"] = Contender(ConditionalDenoiser(base, denoiser))
    if tuple(taps) == tapped_layers(base):  # the code is of a condition on all layers
        ablations[SPARSE_NAME] = Contender(
            _sparse(dataset, cache, base, purifier, sizes, seed, say)
        )
    title = choice.title or choice.base or f"{amount.base}, adversarially trained here"
    facts = [("base classifier", title)]
    if choice.external is None:
        facts.append(("diffusion purifier", "none is here (--external FILE.py:build takes yours)"))
    else:
        path, _, name = choice.external.rpartition(":")
        network = from_file(
            path, name, n_classes=len(dataset.classes), size=dataset.train.images.shape[-1]
        )
        ablations["external purifier"] = Contender(ExternalPurifier(base, network.eval()))
    return Parts(main, ablations, tuple(facts))


def _base(
    dataset: Dataset, cache: Cache, amount: Amount, choice: Choice, seed: int, say: Say
) -> nn.Module:
    if choice.base is not None:
        model = load_model(
            choice.base, n_classes=len(dataset.classes), size=dataset.train.images.shape[-1],
            weights=choice.weights,
        )  # fmt: skip
        return model.requires_grad_(False)
    plain = trained(
        cache, "a plain classifier to begin at", dataset, seed=seed, model=amount.base,
        epochs=amount.base_epochs[0], say=say,
    )  # fmt: skip
    return trained(
        cache, "the base adversarially", dataset, seed=seed, objective="pgd_at", eps=AT_EPS,
        model=amount.base, epochs=amount.base_epochs[1], start=plain, say=say,
    )  # fmt: skip


def _purifier(
    dataset: Dataset, cache: Cache, base: nn.Module, sizes: Sizes, taps: Sequence[str],
    choice: Choice, seed: int, say: Say,
) -> CARSOPurifier:  # fmt: skip
    part = dataset.train
    settings = purifier_settings(base, part.images, sizes, taps=taps)

    def learn() -> dict[str, Any]:
        what = "a purifier" if sizes.latent else "a denoiser"
        where = "pixels alone" if tuple(taps) == (INPUT,) else "inner features"
        say(f"{dataset.name}: training {what} on {where}")
        network = fit_purifier(
            base, part.images, part.labels, sizes, seed=seed, taps=taps, nominal=choice.nominal
        )
        return dict(network.state_dict())

    network = make_purifier(settings, seed=seed)
    network.load_state_dict(cache.get("purifier", {
        "base": fingerprint(base), "images": fingerprint(part.images, part.labels),
        "sizes": asdict(sizes), "taps": list(taps), "nominal": choice.nominal, "seed": seed,
    }, learn))  # fmt: skip
    return network.requires_grad_(False).eval()


def _sparse(
    dataset: Dataset, cache: Cache, base: nn.Module, purifier: CARSOPurifier, sizes: Sizes,
    seed: int, say: Say,
) -> Defense:  # fmt: skip
    part = dataset.train

    def learn() -> dict[str, Any]:
        say(f"{dataset.name}: learning a dictionary of conditions")
        fitted = SparseCARSO.fit(
            base, part.images, part.labels, seed=seed, purifier=purifier, sizes=sizes
        )
        return {
            "dictionary": fitted.dictionary, "alpha": fitted.alpha,
            "decoder": dict(fitted.decoder.state_dict()),
        }  # fmt: skip

    kept = cache.get("sparse", {
        "purifier": fingerprint(base, purifier), "images": fingerprint(part.images, part.labels),
        "sizes": asdict(sizes), "seed": seed,
    }, learn)  # fmt: skip
    dictionary = kept["dictionary"]
    decoder = Decoder(sum(dictionary.shape), purifier.image_size, width=sizes.width)
    decoder.load_state_dict(kept["decoder"])
    decoder.requires_grad_(False)
    return SparseCARSO(base, purifier, dictionary, decoder, kept["alpha"])
