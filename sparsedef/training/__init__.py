"""Training of networks: one loop that resumes, and the objectives that it minimises."""

from sparsedef.training.classifier import RECIPES, Recipe, accuracy, train_classifier
from sparsedef.training.descent import Stepper, Trained
from sparsedef.training.inner import LinfAscent, Perturb
from sparsedef.training.loop import n_batches, train
from sparsedef.training.objectives import OBJECTIVES, TRADES, CrossEntropy, Objective
from sparsedef.training.step import Batch, Loss, Source, Step, Tensors

__all__ = [
    "OBJECTIVES",
    "RECIPES",
    "TRADES",
    "Batch",
    "CrossEntropy",
    "LinfAscent",
    "Loss",
    "Objective",
    "Perturb",
    "Recipe",
    "Source",
    "Step",
    "Stepper",
    "Tensors",
    "Trained",
    "accuracy",
    "n_batches",
    "train",
    "train_classifier",
]
