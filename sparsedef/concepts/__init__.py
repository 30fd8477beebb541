"""Concepts: where they come from, which to leave out, and the dictionaries they make."""

from sparsedef.concepts.coherence import Coherence, coherence
from sparsedef.concepts.concept import Concept, ConceptList, clean_text
from sparsedef.concepts.dictionary import Dictionary, concept_dictionary
from sparsedef.concepts.embedding import distinct_atoms
from sparsedef.concepts.filters import Dropped, FilterResult, filter_concepts
from sparsedef.concepts.hypernyms import concepts_from_hypernyms, hypernyms, read_parents
from sparsedef.concepts.image_atoms import class_membership, image_atoms
from sparsedef.concepts.language_model import concepts_from_llm, load_prompts
from sparsedef.concepts.shipped import load_concepts, shipped_lists
from sparsedef.concepts.text_file import read_concepts
from sparsedef.concepts.wording import context_words

__all__ = [
    "Coherence",
    "Concept",
    "ConceptList",
    "Dictionary",
    "Dropped",
    "FilterResult",
    "class_membership",
    "clean_text",
    "coherence",
    "concept_dictionary",
    "concepts_from_hypernyms",
    "concepts_from_llm",
    "context_words",
    "distinct_atoms",
    "filter_concepts",
    "hypernyms",
    "image_atoms",
    "load_concepts",
    "load_prompts",
    "read_concepts",
    "read_parents",
    "shipped_lists",
]
