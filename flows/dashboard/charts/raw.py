"""Every value of the report as text, for whoever wants to check the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flows.dashboard.markup import behind, tag, text


def raw_report(content: Mapping[str, Any]) -> str:
    """The JSON, folded."""
    return behind("report.json", tag("pre", text(json.dumps(content, indent=1)), class_="raw", tabindex="0"))
