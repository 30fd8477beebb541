"""Peers that learn dictionaries: SPAMS's ``trainDL`` and ``MiniBatchDictionaryLearning``.

Both at the best found on 100,000 patches with N = 256. SPAMS forgets by a factor a minibatch
(``modeParam=2``), which took half the time of its default (``modeParam=0``); ``modeParam=1`` gave
zero atoms. scikit-learn runs in float64 (coordinate descent in float32 took 3 times as long, LARS
4 times) on minibatches of 64, the best of 64, 256 and 1,024, by ``partial_fit``, which is a step of
its ``fit``. Both take alpha as we do.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.contestants import missing_library
from benchmarks.dictionary_problems import DictionaryProblem
from benchmarks.training import Learned, Trainer, clocked


def _spams(
    problem: DictionaryProblem, setting: dict[str, Any], threads: int
) -> Callable[[int], Learned]:
    import spams

    x, init = (np.asfortranarray(rows.numpy().T) for rows in (problem.x, problem.init))

    def run(n_seen: int) -> Learned:
        def learn() -> torch.Tensor:
            atoms = spams.trainDL(
                x,
                D=init.copy(order="F"),
                lambda1=problem.alpha,
                mode=2,
                iter=max(1, n_seen // setting["batchsize"]),
                numThreads=threads,
                verbose=False,
                **setting,
            )
            return torch.from_numpy(np.ascontiguousarray(atoms.T))

        return clocked(learn)

    return run


def _sklearn(problem: DictionaryProblem, batch_size: int, threads: int) -> Callable[[int], Learned]:
    from sklearn.decomposition import MiniBatchDictionaryLearning

    x = problem.x.double().numpy()
    model = MiniBatchDictionaryLearning(
        n_components=len(problem.init),
        alpha=problem.alpha,
        batch_size=batch_size,
        fit_algorithm="cd",
        dict_init=problem.init.double().numpy(),
        random_state=0,
    )
    shuffle = np.random.default_rng(0)
    done, spent, order = 0, 0.0, shuffle.permutation(len(x))

    def run(n_seen: int) -> Learned:
        nonlocal done, spent, order
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while done < n_seen:
                first = done % len(x)
                if first == 0:
                    order = shuffle.permutation(len(x))
                rows = order[first : first + batch_size]
                model.partial_fit(x[rows])
                done += len(rows)
        spent += time.perf_counter() - start
        return spent, torch.from_numpy(model.components_)

    return run


TRAINERS = (
    Trainer(
        "spams.trainDL",
        "spams-bin",
        _spams,
        (
            {"batchsize": 256, "modeParam": 2, "rho": 0.95},
            {"batchsize": 1024, "modeParam": 2, "rho": 0.9},
            {"batchsize": 2048, "modeParam": 2, "rho": 0.8},
        ),
        missing=missing_library("spams", "spams-bin"),
    ),
    Trainer(
        "sklearn.MiniBatchDictionaryLearning f64",
        "scikit-learn",
        _sklearn,
        (64,),
        is_continued=True,
        missing=missing_library("sklearn", "scikit-learn"),
    ),
)
