"""Many faults in one report: who, where, when, what is new, and what was lost.

`summarise` makes a `Summary` of faults; `draw_text`, `draw_json` and `draw_html` (in `text`, `json` and `html`) show
it; `json.read_json` reads one back, and `new_since` holds one against another. `out` writes and reads faults as log
records.
"""

from __future__ import annotations

from .baseline import News, new_since
from .records import Limits, Summary
from .summary import Summarizer, device_of_record, summarise

__all__ = ["Limits", "News", "Summarizer", "Summary", "device_of_record", "new_since", "summarise"]
