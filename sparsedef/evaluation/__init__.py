"""From attacks to an honest table: intervals, worst cases, sanity flags, a report."""

from sparsedef.evaluation.cache import Cache, source_digest
from sparsedef.evaluation.flags import Flag, find_flags
from sparsedef.evaluation.metrics import Interval, paired_excess, wilson_interval
from sparsedef.evaluation.reading import Reading, read
from sparsedef.evaluation.rows import THREAT_MODELS, Row, worst_cases
from sparsedef.evaluation.table import build_sections, format_table

__all__ = [
    "THREAT_MODELS",
    "Cache",
    "Flag",
    "Interval",
    "Reading",
    "Row",
    "build_sections",
    "find_flags",
    "format_table",
    "paired_excess",
    "read",
    "source_digest",
    "wilson_interval",
    "worst_cases",
]
