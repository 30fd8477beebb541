"""``sparsedef reproduce laat``: expanded anchors beside all that they are compared with."""

from __future__ import annotations

import argparse
from dataclasses import replace

from sparsedef.commands.running import add_run_arguments, settings_of, tell, whole_number
from sparsedef.commands.train_laat import add_text_arguments, load_texts, load_zero_shot_data
from sparsedef.defenses.laat.schedules import SCHEDULES, Schedule
from sparsedef.evaluation import Cache, Words, work_bar, write_pages
from sparsedef.evaluation.assemble import versions
from sparsedef.evaluation.contenders import NONE
from sparsedef.reproduce.laat import Found, run_general, run_zero_shot, train_all
from sparsedef.reproduce.laat_methods import METHODS, NOT_QUICK, Setting
from sparsedef.reproduce.laat_pictures import strips
from sparsedef.reproduce.laat_shots import run_shots
from sparsedef.reproduce.laat_sizes import MAIN, QUICK, Sizes
from sparsedef.reproduce.laat_tables import class_names, first_sentence, tables

ABOUT = "text anchors for robustness on classes without images"
QUICK_EPOCHS, QUICK_STEPS, QUICK_IMAGES, QUICK_TESTS = 10, 2, 1200, 150
CAVEATS = (
    "The small CLIP has read captions of all 24 pairs of shape and fill, as CLIP has read of most "
    "things: unseen means that the image encoder has seen no image of the class. tecoa and fare "
    "tune CLIP's own image tower, which has seen images of all classes: their zero-shot figures "
    "are of classes that were unseen only in the tuning.",
    "Method none has the expanded anchors too, and no adversarial training.",
    "A difference between methods that one training with one seed each shows may be the seed's.",
    "Not in the paper: sparse anchors, and the attack at another temperature.",
)


def add_laat(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.description = (
        "LAAT: zero-shot robustness with expanded text anchors, beside raw anchors and other "
        "methods trained with the same images and attacks; generalised zero-shot, few-shot, "
        "ablations."
    )
    add_text_arguments(parser)
    parser.add_argument(
        "--methods", nargs="+", choices=tuple(METHODS), metavar="METHOD",
        help=f"only these, besides none: {', '.join(METHODS)}",
    )  # fmt: skip
    parser.add_argument("--epochs", type=whole_number, help="of each training")
    parser.add_argument(
        "--train-images", type=whole_number, metavar="B", help="of ShapeWorld (default: 3000)"
    )
    add_run_arguments(parser, "sparsedef-laat")


def run_laat(arguments: argparse.Namespace) -> None:
    """Trains, attacks, prints the tables and writes the pages."""
    known = versions()
    cache = Cache(arguments.out / "cache", known)
    setting, sizes = prepare(arguments)
    names = chosen_methods(arguments)
    networks, missing = train_all(cache, setting, names, say=lambda title: None)
    with work_bar() as bar:
        zero_shot, auto, auto_name = run_zero_shot(setting, networks, sizes, cache, bar)
        general = run_general(setting, networks, sizes, cache, bar)
        shots = run_shots(setting, networks, sizes, cache, bar.say)
    found = Found(setting, sizes, networks, missing, zero_shot, auto, auto_name, general, shots)
    laid_out = tables(found)
    first = first_sentence(found)
    evaluations = [zero_shot.evaluation, auto.evaluation, general]
    words = Words(
        title="LAAT: text anchors for classes without images",
        lead=[first, *_lead(arguments, setting)],
        caveats=CAVEATS,
        settings=settings_of(arguments) | {
            "schedule": repr(setting.schedule), "sizes": repr(sizes),
            **dict(class_names(setting.data)),
        },
        # not at the end, behind the table of all results
        strips={(zero_shot.evaluation.task.name, MAIN[0] if MAIN[0] in networks else ""):
                strips(found)},
        tables=laid_out,
        shown=MAIN,
    )  # fmt: skip
    flags = write_pages(arguments.out, evaluations, known, words)
    tell(evaluations, flags, arguments.out, laid_out)
    print(f"\n{first}")


def chosen_methods(arguments: argparse.Namespace) -> list[str]:
    """Those asked for, in the order of the table; ``none`` is in every evaluation."""
    usual = [name for name in METHODS if not (arguments.quick and name in NOT_QUICK)]
    return [name for name in METHODS if name in (NONE, *(arguments.methods or usual))]


def prepare(arguments: argparse.Namespace) -> tuple[Setting, Sizes]:
    """What is trained on what, and how much is evaluated."""
    schedule, sizes = SCHEDULES[arguments.dataset], Sizes()
    n_train, n_test, clip_epochs = arguments.train_images or 3000, 400, 5
    if arguments.quick:
        schedule = _quick(schedule)
        sizes, n_test, clip_epochs = QUICK, QUICK_TESTS, 2
        n_train = arguments.train_images or QUICK_IMAGES
    if arguments.epochs is not None:
        schedule = replace(schedule, epochs=arguments.epochs)
        clip_epochs = min(clip_epochs, arguments.epochs)
    data = load_zero_shot_data(arguments, schedule, n_train=n_train, n_test=n_test)
    texts, concepts = load_texts(arguments, data)
    return Setting(data, texts, concepts, schedule, arguments.seed, clip_epochs), sizes


def _quick(schedule: Schedule) -> Schedule:
    # two steps must be able to reach the edge of the ball
    return replace(
        schedule, epochs=QUICK_EPOCHS, steps=QUICK_STEPS, step_size=schedule.eps / QUICK_STEPS,
        n_validation=100,
    )  # fmt: skip


def _lead(arguments: argparse.Namespace, setting: Setting) -> list[str]:
    schedule, data = setting.schedule, setting.data
    told = (
        f"Encoders ({schedule.backbone}) are trained on {len(data.train)} images of "
        f"{len(data.seen)} seen classes for {schedule.epochs} epochs, against PGD of "
        f"{schedule.steps} steps at {255 * schedule.eps:g}/255; then the anchors are exchanged for "
        f"those of {len(data.unseen)} classes of which they have seen no image. {data.source}."
    )
    if arguments.quick:
        told += (
            " This is a quick run: few images, few epochs, a weak inner attack, short attacks on "
            "few test images. Its intervals are wide."
        )
    return [
        told,
        "The paper's own figures are of CIFAR-FS, miniImageNet and ImageNet with CLIP's texts, "
        "and are not comparable.",
    ]
