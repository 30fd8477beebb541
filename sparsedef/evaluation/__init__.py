"""From attacks to an honest table: intervals, worst cases, sanity flags, a report."""

from sparsedef.evaluation.cache import Cache, source_digest
from sparsedef.evaluation.contenders import Contender, Task, fingerprint
from sparsedef.evaluation.flags import Flag, codes_of, find_flags, voids
from sparsedef.evaluation.metrics import Interval, paired_excess, wilson_interval
from sparsedef.evaluation.pages import Words, summary, write_pages
from sparsedef.evaluation.plan import EDITS, AttackPlan, Plan, standard_plan
from sparsedef.evaluation.reading import Reading, read
from sparsedef.evaluation.rows import Row, worst_cases
from sparsedef.evaluation.runner import Evaluation, evaluate, total_cost
from sparsedef.evaluation.table import build_sections, format_table
from sparsedef.evaluation.work_bar import WorkBar, work_bar

__all__ = [
    "EDITS",
    "AttackPlan",
    "Cache",
    "Contender",
    "Evaluation",
    "Flag",
    "Interval",
    "Plan",
    "Reading",
    "Row",
    "Task",
    "Words",
    "WorkBar",
    "build_sections",
    "codes_of",
    "evaluate",
    "find_flags",
    "fingerprint",
    "format_table",
    "paired_excess",
    "read",
    "source_digest",
    "standard_plan",
    "summary",
    "total_cost",
    "voids",
    "wilson_interval",
    "work_bar",
    "worst_cases",
    "write_pages",
]
