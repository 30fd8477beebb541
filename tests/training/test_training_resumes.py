"""A training that was stopped ends with the bits of one that was not."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import make_data, make_net, run, same

from sparsedef.training import Tensors


@pytest.mark.parametrize("kind", ["sgd", "adamw", "lookahead"])
@pytest.mark.parametrize(("stops", "every"), [((9,), None), ((3, 12), 1), ((17, 20, 27), 5)])
def test_a_stopped_training_ends_with_the_same_bits(
    kind: str, stops: tuple[int, ...], every: int | None, tmp_path: Path
) -> None:
    whole, as_one = run(kind)
    path = tmp_path / "state.pt"
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            run(kind, stop=stop, checkpoint=path, checkpoint_steps=every)
    assert path.exists() == (every is not None or stops[-1] >= 7)
    net, in_parts = run(kind, checkpoint=path, checkpoint_steps=every)
    assert same(net, whole)
    assert in_parts == as_one
    assert [name.name for name in tmp_path.iterdir()] == ["state.pt"]


def test_it_goes_on_where_it_was_and_not_earlier(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        run(stop=9, checkpoint=path, checkpoint_steps=2)
    run(stop=7, checkpoint=path)  # step 7 is behind it: never computed again
    run(stop=27, checkpoint=path)  # and all is done now


def test_the_last_checkpoint_is_the_same_too(tmp_path: Path) -> None:
    one, two = tmp_path / "one.pt", tmp_path / "two.pt"
    run(checkpoint=one)
    with pytest.raises(KeyboardInterrupt):
        run(stop=15, checkpoint=two)
    run(checkpoint=two)
    first, second = (torch.load(path, weights_only=True) for path in (one, two))
    for part in ("model", "best"):
        kept, again = first.pop(part), second.pop(part)
        assert all(torch.equal(kept[name], again[name]) for name in kept)
    assert str(first) == str(second)


OTHERS = [
    ({"epochs": 5}, "epochs was 4, is 5"),
    ({"batch_size": 9}, "batch_size was 8, is 9"),
    ({"seed": 4}, "seed was 3, is 4"),
    ({"max_norm": 1.0}, "max_norm was None, is 1.0"),
    ({"settings": {"eps": 0.1}}, "eps was None, is 0.1"),
    ({"source": make_data(49)}, "samples was 50, is 49"),
    ({"source": Tensors(make_data().tensors[0] + 1, make_data().tensors[1])}, "data was"),
    ({"net": make_net(has_norm=False)}, "start was"),
]


@pytest.mark.parametrize(("change", "message"), OTHERS)
def test_a_checkpoint_of_other_settings_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        run(stop=9, checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"was begun otherwise: .*{message}") as caught:
        run(checkpoint=path, **change)
    assert "delete the file" in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"torn", b"no state", b"PK\x03\x04 torn"])
def test_a_file_of_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"state\.pt is not the state of a training"):
        run(checkpoint=path)
    assert path.read_bytes() == content


def test_a_state_dict_is_no_state_of_a_training(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(make_net().state_dict(), path)
    with pytest.raises(ValueError, match="is not the state of a training"):
        run(checkpoint=path)


def test_the_checkpoint_may_be_looked_at_without_running_code(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    _, trained = run(checkpoint=path, settings={"eps": 0.25})
    state = torch.load(path, weights_only=True)
    assert '"eps": 0.25' in state["plan"]
    assert state["trained"]["losses"] == trained.losses
    assert state["n_done"] == 28


def test_settings_must_be_plain(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="settings must be plain values"):
        run(settings={"loss": torch.nn.MSELoss()})
