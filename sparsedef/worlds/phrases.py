"""What can be said about a scene: phrases that tell the class, and phrases that do not.

Captions are made of them, and so are lists of concepts. A feature holds for every class it names
and for no other, so that features shared by several classes compose: a square and a cross have
right angles, a square and a triangle have a convex outline.
"""

from __future__ import annotations

from collections.abc import Mapping

SHAPE_FEATURES: Mapping[str, frozenset[str]] = {
    phrase: frozenset(shapes.split())
    for phrase, shapes in {
        "a round outline": "disc ring",
        "no corners": "disc ring",
        "a full round face": "disc",
        "a hole in the middle": "ring",
        "an open centre": "ring",
        "curved edges": "disc ring heart crescent",
        "only straight edges": "square triangle star cross",
        "right angles": "square cross",
        "four equal sides": "square",
        "four corners": "square",
        "three equal sides": "triangle",
        "three corners": "triangle",
        "an outline without notches": "disc square triangle",
        "five pointed tips": "star",
        "five notches": "star",
        "sharp tips": "triangle star crescent",
        "four blunt arms": "cross",
        "two crossing bars": "cross",
        "arms around a centre": "star cross",
        "two rounded lobes": "heart",
        "one point opposite a dip": "heart",
        "two horns": "crescent",
        "a bite out of one side": "crescent",
        "mirror halves along one line only": "heart crescent",
    }.items()
}
FILL_FEATURES: Mapping[str, frozenset[str]] = {
    phrase: frozenset([fill])
    for fill, phrases in {
        "plain": ("one even tone", "a smooth surface", "no pattern inside"),
        "striped": ("parallel lines", "evenly spaced bars", "dark bands across"),
        "dotted": ("round spots", "a grid of dots", "small dark circles inside"),
    }.items()
    for phrase in phrases
}
WEATHER_PHRASES: Mapping[str, tuple[str, ...]] = {
    "clear": ("in clear weather", "on a clear day", "in daylight"),
    "snow": ("in snow", "in falling snow", "on a snowy day"),
    "rain": ("in rain", "in pouring rain", "on a rainy day"),
    "fog": ("in fog", "in thick fog", "on a misty day"),
    "night": ("at night", "in the dark", "after nightfall"),
    "sunset": ("at sunset", "in the evening sun", "in orange light"),
}
BACKGROUND_PHRASES: Mapping[str, tuple[str, ...]] = {
    "grass": ("on grass", "on a green lawn"),
    "water": ("on water", "above blue waves"),
    "sand": ("on sand", "on a sandy beach"),
    "brick": ("on a brick wall", "in front of bricks"),
    "sky": ("in the sky", "in front of clouds"),
    "wood": ("on wood", "on wooden boards"),
}


def shape_features(shape: str) -> tuple[str, ...]:
    """Lists the phrases that hold for ``shape``, in the order of the table."""
    return tuple(phrase for phrase, shapes in SHAPE_FEATURES.items() if shape in shapes)


def fill_features(fill: str) -> tuple[str, ...]:
    """Lists the phrases that hold for ``fill``, in the order of the table."""
    return tuple(phrase for phrase, fills in FILL_FEATURES.items() if fill in fills)


def relevant_phrases() -> tuple[str, ...]:
    """Lists all phrases that say something about the class, without class names."""
    return (*SHAPE_FEATURES, *FILL_FEATURES)


def irrelevant_phrases() -> tuple[str, ...]:
    """Lists all phrases of weather and background; colours are words of ``COLOURS``."""
    tables = (WEATHER_PHRASES, BACKGROUND_PHRASES)
    return tuple(phrase for table in tables for phrases in table.values() for phrase in phrases)
