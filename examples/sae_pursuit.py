"""Replaces a sparse autoencoder's encoder by matching pursuit and prints what that explains.

A small network learns scikit-learn's digits; its hidden activations are what the SAE is about. A
TopK SAE is trained on them. Then the same decoder is used in two ways on activations of images
that neither network saw: with the SAE's own encoder, and with ``sparsedef.sae``'s pursuit.

    python examples/sae_pursuit.py [--quick] [--steps N] [--seed N]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.data.base import need_sklearn, shuffled
from sparsedef.sae import VarianceCurve, explained_variance_curve

N_HIDDEN = 64
N_FEATURES = 512
TOP = 8
KS = (1, 2, 4, 6, 8, 12, 16)


class TopKSAE(nn.Module):
    """Keeps the ``TOP`` largest features of each activation, after Gao et al., 2024."""

    def __init__(self, mean: Tensor) -> None:
        """Starts with tied weights and the mean activation as the decoder's bias."""
        super().__init__()
        self.encoder = nn.Linear(N_HIDDEN, N_FEATURES)
        self.decoder = nn.Linear(N_FEATURES, N_HIDDEN)
        with torch.no_grad():
            self.decoder.weight.copy_(functional.normalize(self.encoder.weight, dim=1).mT)
            self.encoder.bias.zero_()
            self.decoder.bias.copy_(mean)

    def encode(self, activations: Tensor) -> Tensor:
        """Codes ``[B, N]``, at most ``TOP`` of them positive in each row."""
        features = torch.relu(self.encoder(activations - self.decoder.bias))
        top = features.topk(TOP, dim=1)
        return torch.zeros_like(features).scatter(1, top.indices, top.values)

    def forward(self, activations: Tensor) -> Tensor:
        """Activations rebuilt from their codes."""
        return self.decoder(self.encode(activations))


def digits(seed: int) -> tuple[Tensor, Tensor, int]:
    """Loads the scans ``[1797, 64]`` in [0, 1] with labels in random order; 1,297 are to train."""
    need_sklearn("sae_pursuit")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = shuffled(len(bunch.target), seed)
    images = torch.from_numpy(bunch.data).float()[order] / 16
    return images, torch.from_numpy(bunch.target).long()[order], 1297


def fit(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    steps: int,
    seed: int,
) -> None:
    """Minimises ``loss(model(inputs), targets)`` over minibatches of 256."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(steps):
        rows = torch.randint(len(inputs), (256,), generator=generator)
        optimizer.zero_grad()
        loss(model(inputs[rows]), targets[rows]).backward()
        optimizer.step()


def run(*, steps: int = 3000, seed: int = 0) -> VarianceCurve:
    """Trains both networks, prints the curve on unseen images, and returns it."""
    torch.manual_seed(seed)
    images, labels, n_train = digits(seed)
    hidden = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, N_HIDDEN))
    classifier = nn.Sequential(hidden, nn.ReLU(), nn.Linear(N_HIDDEN, 10))
    fit(classifier, images[:n_train], labels[:n_train], functional.cross_entropy, 600, seed)
    with torch.no_grad():
        right = (classifier(images[n_train:]).argmax(dim=1) == labels[n_train:]).double().mean()
        activations = hidden(images)
    print(f"a network that reads {right:.1%} of unseen digits; its {N_HIDDEN} hidden activations")

    seen, unseen = activations[:n_train], activations[n_train:]
    sae = TopKSAE(seen.mean(dim=0))
    fit(sae, seen, seen, functional.mse_loss, steps, seed)
    curve = explained_variance_curve(sae.decoder, unseen, KS, encoder=sae.encode)
    print(
        f"a TopK SAE of {N_FEATURES} features, {TOP} at a time; {curve.n_rows} unseen activations"
    )
    print("\n  k   mean L0   explained variance")
    for k, l0, explained in zip(KS, curve.l0.tolist(), curve.explained.tolist(), strict=True):
        print(f"{k:3d} {l0:9.2f}   {explained:.4f}  pursuit")
    print(
        f"{TOP:3d} {curve.encoder_l0:9.2f}   {curve.encoder_explained:.4f}  the SAE's own encoder"
    )
    print(f"      as many   {curve.matched_explained:.4f}  pursuit, each with the encoder's number")
    return curve


def main(arguments: Sequence[str] | None = None) -> VarianceCurve:
    """Reads the command line; ``--quick`` trains the SAE for 600 steps in place of 3,000."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="600 steps")
    parser.add_argument("--steps", type=int, help="training steps of the SAE")
    parser.add_argument("--seed", type=int, default=0, help="of split, weights and minibatches")
    options = parser.parse_args(arguments)
    return run(steps=options.steps or (600 if options.quick else 3000), seed=options.seed)


if __name__ == "__main__":
    main()
