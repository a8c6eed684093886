"""The best classes of the picture with their probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.dashboard import numbers
from flows.dashboard.markup import full, tag, text


def classes_table(classes: Sequence[Mapping[str, Any]]) -> str:
    """A row per class: name, bar, probability, logit."""
    if not classes:
        return ""
    rows = [
        tag(
            "tr",
            tag("th", text(entry["name"]), scope="row"),
            tag("td", tag("i", class_="meter", style=f"width:{100 * entry['probability']:.2f}%"), aria_hidden="true"),
            tag(
                "td",
                text(numbers.percent(entry["probability"])),
                class_="n",
                data_value=full(entry["probability"]),
                data_key=f"top5/{index}/probability",
            ),
            tag(
                "td",
                text(f"{entry['logit']:,}"),
                class_="n dim",
                data_value=full(entry["logit"]),
                data_key=f"top5/{index}/logit",
            ),
        )
        for index, entry in enumerate(classes)
    ]
    head = tag("tr", tag("th", "class", scope="col"), tag("td", ""), tag("th", "probability", scope="col", class_="n"),
               tag("th", "logit", scope="col", class_="n"))
    return tag("table", tag("thead", head), tag("tbody", *rows), class_="classes")
