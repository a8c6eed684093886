"""The photograph: dropped patches shaded block by block, and the class token's attention as heat."""

from __future__ import annotations

from typing import Any

from flows.dashboard import numbers
from flows.dashboard.markup import behind, table, tag, text
from flows.dashboard.photo import Photo


def photograph(photo: Photo | None) -> str:
    """Markup; patches are drawn by the page's script from :func:`photograph_data`."""
    if photo is None:
        return ""
    blocks = len(photo.stages)
    patches = photo.rows * photo.columns
    grid = tag("svg", class_="patches", viewBox=f"0 0 {photo.columns} {photo.rows}", tabindex="0", role="group",
               data_chart="photograph", preserveAspectRatio="none",
               aria_label=f"{patches} patches; arrow keys move between patches, page up and down between blocks")
    frame = tag("div", tag("img", src=photo.uri, alt="what the network sees", draggable="false"), grid, class_="frame")
    slider = tag(
        "label",
        tag("span", "after block"),
        tag(
            "input",
            type="range",
            min=-1,
            max=blocks - 1,
            value=blocks - 1,
            step=1,
            id="stage",
            aria_label="encoder block",
        ),
        tag("output", "", id="stage-text", for_="stage"),
        class_="slider",
    )
    heat = tag("label", tag("input", type="checkbox", id="heat"), "attention of the class token", class_="check")
    play = tag("button", "▶ play", type="button", id="play")
    return (frame + tag("div", slider, tag("div", play, heat, class_="row"), class_="controls")
            + _strip(photo) + behind("Patches by block", _table(photo)))


def photograph_data(photo: Photo) -> dict[str, Any]:
    """What the script needs."""
    return {"rows": photo.rows, "columns": photo.columns, "stages": [
        {"alive": list(stage.alive), "kept": list(stage.kept), "fused": stage.fused,
         "attention": {str(patch): share for patch, share in stage.attention.items()}} for stage in photo.stages]}


def _strip(photo: Photo) -> str:
    """Small pictures of the stages after which the patches differ, each a button that goes there."""
    stages = [-1, *photo.drops]
    if len(stages) == 1:
        return ""
    whole = photo.rows * photo.columns
    items = []
    for stage in stages:
        alive = set(range(whole) if stage < 0 else photo.stages[stage].kept)
        gone = "".join(f"M{patch % photo.columns},{patch // photo.columns}h1v1h-1z" for patch in range(whole)
                       if patch not in alive)
        shade = tag("svg", tag("path", d=gone or "M0,0", class_="gone"), viewBox=f"0 0 {photo.columns} {photo.rows}",
                    preserveAspectRatio="none", aria_hidden="true")
        words = "all patches" if stage < 0 else f"after block {stage}"
        items.append(
            tag(
                "button",
                tag("span", tag("img", src="", data_copy="photo", alt="", draggable="false"), shade, class_="thumb"),
                tag("small", text(words), tag("b", text(f"{len(alive)} of {whole}"))),
                type="button",
                data_stage=stage,
            )
        )
    return tag("div", *items, class_="strip")


def _table(photo: Photo) -> str:
    rows = []
    for index, stage in enumerate(photo.stages):
        most = max(stage.attention, key=lambda patch: stage.attention[patch], default=None)
        rows.append((f"block {index}", (str(len(stage.alive)), len(stage.alive), None),
                     (str(len(stage.kept)), len(stage.kept), None), "yes" if stage.fused else "no",
                     "" if most is None else f"row {most // photo.columns}, column {most % photo.columns}: "
                                             f"{numbers.percent(stage.attention[most], 2)}"))
    return table(("after", "patches entering", "patches kept", "fused token", "most attended patch"), rows)
