"""``sparsedef train laat``: an encoder, adversarially, towards text anchors of seen classes."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sparsedef.attacks import PGD
from sparsedef.commands.running import whole_number
from sparsedef.commands.train_options import TrainJob, radius
from sparsedef.data.class_folders_split import load_cifar_fs, load_split_folders
from sparsedef.data.class_split import ClassSplit, places
from sparsedef.data.compositions import load_compositions
from sparsedef.defenses.laat import (
    ANCHORS,
    LAAT,
    TEMPLATE,
    AnchorInputs,
    ClassTexts,
    embed_classes,
    load_class_texts,
    make_anchors,
    mean_cosine,
    shapeworld_texts,
)
from sparsedef.defenses.laat.saved import anchors_about
from sparsedef.defenses.laat.schedules import SCHEDULES, Schedule
from sparsedef.models.embedding_net import BACKBONES, build_embedding_net
from sparsedef.streams.coding import to_device
from sparsedef.streams.ranks import Processes, local_rank
from sparsedef.training import Tensors, accuracy
from sparsedef.training.anchored import ALIGNMENTS, AnchorObjective, train_anchored

PGD_STEPS = 20
OVERRIDES = ("backbone", "size", "epochs", "batch_size", "eps", "steps")


class LAATTraining:
    """Trains LAAT, chooses the epoch on validation classes, and measures it on those."""

    about = "LAAT: an image encoder towards text anchors, for classes it has not seen"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds the options."""
        add_text_arguments(parser)
        parser.add_argument(
            "--anchors", choices=tuple(ANCHORS), default="expanded", help="(default: expanded)"
        )
        parser.add_argument(
            "--alignment", choices=tuple(ALIGNMENTS), default="ce", help="(default: ce, A-CE)"
        )
        parser.add_argument("--smoothness", type=float, default=1.0, help="beta (default: 1)")
        parser.add_argument(
            "--awp", type=float, default=0.0, metavar="GAMMA",
            help="radius of an attack on the weights too, such as 5e-3 (default: 0, none)",
        )  # fmt: skip
        schedule = "(default: the data set's)"
        parser.add_argument("--backbone", choices=tuple(BACKBONES), help=schedule)
        parser.add_argument("--size", type=whole_number, metavar="PIXELS", help=schedule)
        parser.add_argument("--epochs", type=whole_number, help=schedule)
        parser.add_argument("--batch-size", type=whole_number, metavar="B", help=schedule)
        parser.add_argument("--eps", type=radius, help=f"linf radius {schedule}")
        parser.add_argument("--steps", type=whole_number, help=f"of the inner attack {schedule}")
        parser.add_argument(
            "--train-images", type=whole_number, default=3000, metavar="B",
            help="of ShapeWorld (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument(
            "--out", type=Path, required=True, metavar="FILE",
            help="the trained network; FILE.checkpoint is beside it until it is done",
        )  # fmt: skip
        parser.add_argument("--seed", type=int, default=0, help="of everything (default: 0)")
        parser.add_argument(
            "--checkpoint-steps", type=whole_number, metavar="N",
            help="keep the state after so many minibatches too, not only after each epoch",
        )  # fmt: skip
        parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
        parser.add_argument("--threads", type=whole_number, help="of torch")
        parser.add_argument("--quiet", action="store_true", help="no progress, no summary")

    def run(self, arguments: argparse.Namespace, ranks: Processes) -> str:
        """Trains on all ranks, or goes on; returns what to say in the end."""
        data, anchors, job, schedule = ranks.attempt(lambda: _prepare(arguments, ranks))
        about = job.finished()
        if about is None:
            model, trained = _train(arguments, ranks, data, anchors, job, schedule)
            told = {
                "anchors": anchors_about(
                    anchors, data.classes, data.names(data.seen), data.names(data.unseen)
                ),
                "figures": _measure(model, data, anchors, schedule, arguments.seed),
                "cosines": {
                    part: mean_cosine(anchors[list(labels)])
                    for part, labels in (("seen", data.seen), ("unseen", data.unseen))
                },
                **asdict(trained),
            }
            settings = {"width": anchors.shape[1], "backbone": schedule.backbone}
            about = job.write("embedding_net", settings, model.encoder, told)
        return _summary(job, about)


def add_text_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose images and the texts of their classes."""
    parser.add_argument(
        "--dataset", choices=tuple(SCHEDULES), default="shapeworld",
        help="with its schedule (default: shapeworld; the others need --root)",
    )  # fmt: skip
    parser.add_argument(
        "--root", type=Path, metavar="DIR",
        help="CIFAR-100's files, or train/, val/, test/ with folders of different classes",
    )  # fmt: skip
    texts = parser.add_mutually_exclusive_group()
    texts.add_argument(
        "--texts", type=Path, metavar="FILE",
        help="stored features of the class names: .npy (names in .txt beside), .safetensors",
    )  # fmt: skip
    texts.add_argument("--clip", metavar="NAME", help="of open_clip: embeds the class names")
    parser.add_argument("--pretrained", metavar="W", help="weights or tag of --clip")
    parser.add_argument(
        "--templates", nargs="+", metavar="TEXT",
        help=f"with {{}} for the name, averaged (default: {TEMPLATE!r})",
    )  # fmt: skip
    parser.add_argument(
        "--names", type=Path, metavar="FILE", help="JSON: folder of a class to its name"
    )


def _prepare(
    arguments: argparse.Namespace, ranks: Processes
) -> tuple[ClassSplit, Tensor, TrainJob[ClassSplit], Schedule]:
    if not arguments.out.parent.is_dir():
        raise ValueError(f"--out must be in a folder that is there, got {arguments.out}")
    given = {name: getattr(arguments, name) for name in OVERRIDES}
    schedule = replace(
        SCHEDULES[arguments.dataset], **{k: v for k, v in given.items() if v is not None}
    )
    data = load_zero_shot_data(arguments, schedule, n_train=arguments.train_images)
    texts, concepts = load_texts(arguments, data)
    inputs = AnchorInputs(texts, data.names(data.seen), concepts, seed=arguments.seed)
    anchors = make_anchors(arguments.anchors, inputs, data.classes)
    objective = _objective(arguments, schedule)
    plan = {
        "dataset": arguments.dataset, "source": data.source, "texts": texts.source,
        "anchors": arguments.anchors, "schedule": repr(schedule), "objective": repr(objective),
        "seed": arguments.seed,
    }  # fmt: skip
    device = to_device(arguments.device, local_rank())
    job = TrainJob(arguments.out, plan, data, device, ranks)
    return data, anchors, job, schedule


def load_zero_shot_data(
    arguments: argparse.Namespace, schedule: Schedule, **limits: Any
) -> ClassSplit:
    """Loads the data set of the options; ``limits`` are for ShapeWorld, which is drawn."""
    if arguments.dataset == "shapeworld":
        if arguments.root is not None:
            raise ValueError("--root is not for shapeworld, which is drawn")
        return load_compositions(seed=arguments.seed, size=schedule.size, **limits)
    if arguments.dataset == "cifar_fs":
        return load_cifar_fs(arguments.root, seed=arguments.seed, size=schedule.size)
    return load_split_folders(arguments.root, seed=arguments.seed, size=schedule.size)


def load_texts(
    arguments: argparse.Namespace, data: ClassSplit
) -> tuple[ClassTexts, ClassTexts | None]:
    """Loads features of all class names, and of concepts where there are some."""
    spoken = dict.fromkeys(data.classes)
    if arguments.names is not None:
        spoken.update(json.loads(arguments.names.read_text()))
    names = [spoken[name] or name for name in data.classes]
    if arguments.texts is not None:
        stored = load_class_texts(arguments.texts)
        return ClassTexts(data.classes, stored.of(names), stored.source), None
    if arguments.clip is not None:
        from sparsedef.clip import load_clip

        encoder = load_clip(arguments.clip, arguments.pretrained)
        found = embed_classes(encoder, names, templates=_templates(arguments))
        return ClassTexts(data.classes, found.features, found.source), None
    if arguments.dataset == "shapeworld":
        return shapeworld_texts()
    raise ValueError(
        f"--texts FILE or --clip NAME must say where the text features of {arguments.dataset}'s "
        f"classes come from"
    )


def _templates(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Those of the options; the small CLIP knows few words, and has prompts of its own."""
    if arguments.templates is not None:
        return tuple(arguments.templates)
    if arguments.clip == "small":
        from sparsedef.clip.train import PROMPTS

        return PROMPTS
    return (TEMPLATE,)


def _objective(arguments: argparse.Namespace, schedule: Schedule) -> AnchorObjective:
    return AnchorObjective(
        schedule.attack(), arguments.smoothness, arguments.alignment, arguments.awp
    )


def _train(
    arguments: argparse.Namespace,
    ranks: Processes,
    data: ClassSplit,
    anchors: Tensor,
    job: TrainJob[ClassSplit],
    schedule: Schedule,
) -> tuple[LAAT, Any]:
    encoder = build_embedding_net(
        seed=arguments.seed, width=anchors.shape[1], backbone=schedule.backbone
    )
    model = LAAT(encoder, anchors[list(data.seen)]).to(job.device)
    chosen, classes = data.validation.take(schedule.n_validation), data.validation_classes
    source = Tensors(chosen.images, places(chosen.labels, classes))
    judge = model.with_anchors(anchors[list(classes)])

    def validate() -> float:
        return accuracy(judge, source, perturb=schedule.attack(), seed=arguments.seed)

    trained = train_anchored(
        model, data.train, _objective(arguments, schedule), epochs=schedule.epochs,
        batch_size=schedule.batch_size, lr=schedule.lr, augment=schedule.augment,
        validate=validate, seed=arguments.seed, settings={"plan": json.dumps(job.plan)},
        checkpoint=job.checkpoint, checkpoint_steps=arguments.checkpoint_steps, ranks=ranks,
        title="LAAT", is_silent=arguments.quiet,
    )  # fmt: skip
    return model, trained


def _measure(
    model: LAAT, data: ClassSplit, anchors: Tensor, schedule: Schedule, seed: int
) -> dict[str, float]:
    """Zero-shot accuracies on the validation classes; the test classes are left to tests."""
    chosen, classes = data.validation.take(schedule.n_validation), data.validation_classes
    judge = model.with_anchors(anchors[list(classes)])
    labels = places(chosen.labels, classes)
    attack, n_right = PGD(schedule.eps, steps=PGD_STEPS, seed=seed), 0
    for rows in torch.arange(len(chosen)).split(200):
        images = chosen.images[rows].to(model.anchors.device)
        n_right += int((~attack(judge, images, labels[rows].to(images.device)).success).sum())
    return {
        "clean": accuracy(judge, Tensors(chosen.images, labels)),
        f"pgd_{PGD_STEPS}": n_right / len(chosen),
        "eps": schedule.eps,
        "n": len(chosen),
        "n_classes": len(classes),
    }


def _summary(job: TrainJob[ClassSplit], about: dict[str, Any]) -> str:
    figures = about["figures"]
    return (
        f"zero-shot, of {figures['n']} images of {figures['n_classes']} validation classes: "
        f"{figures['clean']:.1%} clean, {figures[f'pgd_{PGD_STEPS}']:.1%} under "
        f"PGD-{PGD_STEPS} with eps {255 * figures['eps']:.4g}/255 (by which the epoch was chosen, "
        f"so somewhat flattering)\n"
        f"mean cosine of two anchors: {about['cosines']['seen']:.3f} of seen classes, "
        f"{about['cosines']['unseen']:.3f} of unseen\n"
        f"{job.out} has the weights, anchors, settings and losses"
    )
