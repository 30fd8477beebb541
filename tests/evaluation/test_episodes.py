"""Episodes: what they hold, that each image is attacked once for each class set, and their mean."""

import math
from collections.abc import Mapping

import pytest
import torch
from torch import nn

from sparsedef.data import Split
from sparsedef.defenses.laat import LAAT
from sparsedef.evaluation import AttackPlan, Contender, Plan
from sparsedef.evaluation.episodes import (
    class_sets,
    draw_episodes,
    episodes_cost,
    evaluate_episodes,
    find_row,
    over_episodes,
)
from sparsedef.evaluation.metrics import paired_difference

CORNERS = torch.eye(12)[:4]
PLAN = Plan((AttackPlan("fgsm", (0.1,)),), batch_size=16, n_pictures=0)


def images(count: int = 24) -> Split:
    """Images of four classes; each is bright where its class's corner is."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 4
    pixels = 0.5 * torch.rand(count, 12, generator=generator) + 0.4 * CORNERS[labels]
    return Split(pixels.view(count, 3, 2, 2), labels, tuple(map(str, range(count))))


def build(classes: tuple[int, ...]) -> Mapping[str, Contender]:
    return {"none": Contender(LAAT(nn.Flatten(), CORNERS[list(classes)]), None)}


def test_episodes_hold_queries_of_their_classes_and_other_supports() -> None:
    test = images()
    for episode in draw_episodes(test.labels, 20, n_way=3, n_query=2, n_shot=3, seed=1):
        assert len(set(episode.classes)) == 3
        for rows, each in ((episode.queries, 2), (episode.supports, 3)):
            found = test.labels[list(rows)].tolist()
            assert found == [label for label in episode.classes for _ in range(each)]
        assert not set(episode.queries) & set(episode.supports)


def test_more_episodes_begin_with_the_same() -> None:
    labels = images().labels
    few, many = (draw_episodes(labels, n, n_way=2, n_query=2, seed=3) for n in (3, 8))
    assert many[:3] == few
    assert draw_episodes(labels, 3, n_way=2, n_query=2, seed=4) != few


@pytest.mark.parametrize(("n_way", "n_query"), [(5, 1), (2, 7)], ids=["few classes", "few images"])
def test_too_few_classes_or_images_are_refused(n_way: int, n_query: int) -> None:
    with pytest.raises(ValueError, match="4 with 6 at least"):
        draw_episodes(images().labels, 1, n_way=n_way, n_query=n_query)


def test_each_image_is_attacked_once_for_each_set_of_classes() -> None:
    test = images()
    episodes = draw_episodes(test.labels, 30, n_way=3, n_query=4)
    sets = class_sets(episodes)
    assert len(sets) == 4
    told: list[float] = []

    def advance(title: str, cost: float) -> None:
        told.append(cost)

    found = evaluate_episodes("t", test, tuple("abcd"), episodes, build, PLAN, advance=advance)
    pairs = sum(len(rows) for rows in sets.values())
    assert all(row.n == pairs for row in found.evaluation.rows)
    assert len(found.evaluation.task.test) == pairs == len(found.place)
    assert sum(told) == pytest.approx(episodes_cost(test, episodes, build, PLAN))


def test_an_episode_ends_with_the_accuracy_of_its_own_images_and_classes() -> None:
    test = images()
    episodes = draw_episodes(test.labels, 6, n_way=3, n_query=4)
    found = evaluate_episodes("t", test, tuple("abcd"), episodes, build, PLAN)
    clean = found.evaluation.rows[0].correct
    for episode, accuracy in zip(episodes, found.accuracies(clean), strict=True):
        rows = list(episode.queries)
        guess = build(episode.classes)["none"].model(test.images[rows]).argmax(1)
        wanted = torch.tensor([episode.classes.index(int(x)) for x in test.labels[rows]])
        assert accuracy == pytest.approx(float((guess == wanted).float().mean()))
    row = find_row(found.evaluation, "none", "fgsm", 0.1)
    assert row is not None
    assert sum(found.accuracies(row.correct)) <= sum(found.accuracies(clean))
    assert find_row(found.evaluation, "none", "pgd", 0.1) is None


def test_one_set_of_classes_keeps_its_evaluation() -> None:
    test = images()
    episodes = draw_episodes(test.labels, 5, n_way=4, n_query=2)
    found = evaluate_episodes("t", test, tuple("abcd"), episodes, build, PLAN)
    assert found.evaluation.task.classes == tuple("abcd")
    assert found.evaluation.rows[0].n == len(class_sets(episodes)[0, 1, 2, 3])


def test_the_mean_over_episodes_has_the_interval_of_a_mean() -> None:
    values = [0.2, 0.4, 0.6, 0.8]
    mean, (low, high) = over_episodes(values)
    error = torch.tensor(values).std() / math.sqrt(4)
    assert mean == pytest.approx(0.5)
    assert high - mean == pytest.approx(1.96 * float(error), rel=1e-3)
    assert mean - low == pytest.approx(high - mean)
    assert over_episodes([0.3])[1] == (0.3, 0.3)


def test_the_interval_of_a_difference_holds_pairs_together() -> None:
    _, low, high = paired_difference("1" * 60 + "0" * 40, "1" * 50 + "0" * 50)
    assert low > 0
    assert (low + high) / 2 == pytest.approx(10 / 102, abs=1e-12)
    shuffled = "10" * 50
    _, low, high = paired_difference("1" * 60 + "0" * 40, shuffled)
    assert low < 0 < high
