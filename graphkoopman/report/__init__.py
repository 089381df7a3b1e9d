"""Results that people look at: one HTML page that opens anywhere.

:func:`write_report` puts the verdict, the states in words and in three dimensions, their exchange,
and how far to trust all of it into a single file that needs no network.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.report._analysis import Analysis, analyse
    from graphkoopman.report._closing import closing_lines, exchange_text
    from graphkoopman.report._study import CORE, Study, study
    from graphkoopman.report._verdict import Verdict, judge
    from graphkoopman.report._write import write_report
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "write_report",
]
