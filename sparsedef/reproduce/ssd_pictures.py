"""What SSD saw in some test scenes before and after an attack, for a person to judge."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sparsedef.clip import unit
from sparsedef.defenses.semantic import SSD, Comparison
from sparsedef.evaluation.concept_bars import draw_comparison, draw_explanation
from sparsedef.evaluation.pictures import difference, png_uri
from sparsedef.evaluation.report import Figure, Panel, Strip
from sparsedef.reproduce.ssd_attacks import ASCENT, CONCEPT, NAMED, Attacked, Findings
from sparsedef.reproduce.ssd_world import PIXELS, World
from sparsedef.worlds import BACKGROUNDS, CLASSES, COLOURS, WEATHERS, attributes

GAIN = 1.0
WORDS_OF_ATTACKS = {
    NAMED: "the strongest named edit",
    ASCENT: "gradient ascent over all nuisances",
    CONCEPT: "ascent on the code: concepts of another class",
}


def choose(findings: Findings, count: int) -> list[tuple[str, int]]:
    """Picks pairs of attack and scene: what fell to each attack first, then what withstood it."""
    fallen: list[tuple[str, int]] = []
    stands: list[tuple[str, int]] = []
    used: set[int] = set()
    for attack in (ASCENT, NAMED, CONCEPT):
        is_right = findings.own[attack].right
        for wanted, found in ((False, fallen), (True, stands)):
            rows = torch.nonzero(findings.clean & (is_right == wanted))[:, 0].tolist()
            fresh = [row for row in rows if row not in used][: 2 if attack == ASCENT else 1]
            used.update(fresh)
            found += [(attack, row) for row in fresh]
    n_fallen = min(len(fallen), max(1, count - 1)) if stands else len(fallen)
    return [*fallen[:n_fallen], *stands][:count]


def strips(world: World, ssd: SSD, findings: Findings, *, count: int = 5) -> list[Strip]:
    """Draws some test scenes, attacked, with what each concept says before and after."""
    return [
        _strip(world, ssd, findings.own[attack], attack, row)
        for attack, row in choose(findings, count)
    ]


def unattacked(world: World, ssd: SSD, *, count: int = 2) -> list[Strip]:
    """Draws some test scenes as they are, with what each concept adds to the two best classes."""
    found = []
    for row in range(min(count, len(world.test.labels))):
        scenes = world.test.scenes[row : row + 1]
        image = scenes.render(size=PIXELS)
        (told,) = ssd.explain(image)
        label = int(world.test.labels[row])
        figure = Figure(
            png_uri(image[0]), scene_words(scenes.parameters), CLASSES[told.label],
            told.label == label,
        )  # fmt: skip
        found.append(
            Strip(
                f"Scene {world.test.ids[row]}, a “{CLASSES[label]}”, unedited",
                [figure],
                _residual_note(world, ssd, ssd.embed(image), "The residual"),
                [Panel("", draw_explanation(told, classes=CLASSES))],
            )
        )
    return found


def _strip(world: World, ssd: SSD, attacked: Attacked, attack: str, row: int) -> Strip:
    scenes = world.test.scenes[row : row + 1]
    moved = scenes.with_parameters(attacked.parameters[row : row + 1])
    before, after = scenes.render(size=PIXELS), moved.render(size=PIXELS)
    (told,) = ssd.compare(before, after)
    label = int(world.test.labels[row])
    figures = [
        _figure(before[0], scene_words(scenes.parameters), told.clean.logits, label),
        _figure(after[0], scene_words(moved.parameters), told.attacked.logits, label),
        Figure(png_uri(difference(before[0], after[0], GAIN)), "the change, around grey"),
    ]
    return Strip(
        f"Scene {world.test.ids[row]}, a “{CLASSES[label]}”: {WORDS_OF_ATTACKS[attack]}",
        figures,
        _words(told) + _residual_note(world, ssd, ssd.embed(after), "The residual afterwards"),
        [Panel("", draw_comparison(told, classes=CLASSES))],
    )


def _figure(image: Tensor, caption: str, logits: Tensor, label: int) -> Figure:
    guess = int(logits.argmax())  # both explanations are of the pair of classes, not of the winner
    return Figure(png_uri(image), caption, CLASSES[guess], guess == label)


def scene_words(parameters: Tensor) -> str:
    """Says weather, background and colour of one scene ``[1, P]`` in the nearest words."""
    found = attributes(parameters)
    weather = WEATHERS[int(found.weather[0])]
    colour = list(COLOURS)[int(found.colour[0])]
    return f"{weather}, {colour} on {BACKGROUNDS[int(found.background[0])]}"


def _words(told: Comparison) -> str:
    """What of the code changed, in a sentence or two."""
    parts = []
    if told.appeared:
        parts.append(f"New in the code: {_list(told.appeared)}.")
    if told.vanished:
        parts.append(f"Gone from it: {_list(told.vanished)}.")
    if not parts:
        parts.append("The same concepts are in use before and after.")
    shift = told.shift
    parts.append(
        f"The edit moves the embedding by {shift['size']:.2f}, any one concept sees at most "
        f"{shift['leak']:.3f} of it (eta)."
    )
    return " ".join(parts) + " "


def _list(names: tuple[str, ...], most: int = 3) -> str:
    shown = ", ".join(f"“{name}”" for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _residual_note(world: World, ssd: SSD, embedding: Tensor, begins: str) -> str:
    found = residual_words(world, ssd, embedding)
    told = ", ".join(f"“{name}” ({cosine:.2f})" for name, cosine in found.items())
    with torch.no_grad():
        x = ssd.centre(embedding)
        share = float(ssd.residual(x, ssd.encode(x)).norm() / x.norm())
    return f"{begins} holds {100 * share:.0f} % of the embedding's length; it is most like {told}."


def residual_words(
    world: World, ssd: SSD, embedding: Tensor, count: int = 3
) -> Mapping[str, float]:
    """The nuisance texts that the residual of one embedding ``[1, M]`` is most like.

    Returns:
        Texts with their cosine to the residual, both centred, the largest first.
    """
    words = world.words
    nuisances = words.need("residual_words", "nuisances")
    with torch.no_grad():
        x = ssd.centre(embedding)
        left = unit(ssd.residual(x, ssd.encode(x)))
        atoms = unit(unit(nuisances) - unit(nuisances).mean(0))
        cosines = (left @ atoms.to(left).mT)[0]
    best = cosines.argsort(descending=True, stable=True).tolist()[:count]
    return {words.nuisance_names[i].replace("a shape ", ""): float(cosines[i]) for i in best}
