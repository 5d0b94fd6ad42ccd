"""The model's card as a page: nothing stands there that card.json does not say."""

import json
from typing import Any

from core.models.folder import calibrated_on, measured_on
from core.settings import Settings

_HEAD = """# The model

This page is made from the card of the model that comes with the program (`{folder}/card.json`).
The page *Model* of a server shows the same of the version that serves there, which may be another
one. **Research software: not for diagnosis.**

{summary}

## What it is for, and what not

For research on T1-weighted MRI of adults: drawing and measuring the anterior and the posterior
hippocampus, each mask looked at by somebody who knows the anatomy. Not for diagnosis, not for
decisions about treatment, not unattended. Its volumes are those of one labelling protocol: they
cannot be read against norms of another one.

"""


def card() -> dict[str, Any]:
    """Of the embedded model."""
    return dict(json.loads((Settings().model_dir / "card.json").read_text("utf-8")))


def page() -> str:
    """The page in Markdown."""
    told = card()
    metrics = told["metrics"]
    parts = [
        _HEAD.format(folder=f"models/{told['name']}", summary=told["summary"]),
        "## Known limits\n\n" + "\n".join(f"- {limit}" for limit in told["limits"]),
        "## How well it does\n\n" + _dice(metrics["dice"]),
        f"On {measured_on(metrics)}, {metrics['settings']}. Dice: overlap with an expert's mask, "
        "0 none, 1 the same.",
    ]
    if by_person := metrics.get("by_person"):
        parts.append(
            f"These cases were split by file: of {by_person['other_side_seen']} of them the same "
            "person's other hippocampus was trained on. On the others "
            f"({by_person['cases']} cases):\n\n{_dice(by_person['dice'])}"
        )
    parts += [
        "Whole heads are measured apart: decisions "
        "[0037](../decisions/0037-trained-on-heads.md) and [0052](../decisions/0052-model.md).",
        "## Expected overlap and intervals\n\n" + calibrated_on(told),
        "## int8 against float32\n\n" + _int8(told["int8"]),
        "## Network\n\n" + _table(told["network"]),
        "## Training\n\n" + _table(told["training"]),
        f"## Licence and attribution\n\nData and weights: {told['licence']}.\n\n"
        + "\n".join(f"- {source}" for source in told["attribution"]),
        "## Files\n\n" + _table({f"`{n}`": f"`{s}`" for n, s in told["files"].items()}, "sha256"),
    ]
    return "\n\n".join(parts) + "\n"


def _table(rows: dict[str, str], second: str = "") -> str:
    lines = "\n".join(f"| {name} | {words} |" for name, words in rows.items())
    return f"| | {second} |\n| --- | --- |\n{lines}"


def _dice(figures: dict[str, Any]) -> str:
    head = "| label | mean Dice | 95 % interval | median | standard deviation | worst case |\n"
    return head + "| --- " * 6 + "|\n" + "\n".join(
        f"| {label} | {d['mean']:.3f} | {d['low']:.3f} to {d['high']:.3f} | {d['median']:.3f} | "
        f"{d['sd']:.3f} | {d['worst']:.3f} |"
        for label, d in figures.items()
    )  # fmt: skip


def _int8(proof: dict[str, Any]) -> str:
    seen = "seen" if proof["seen_in_training"] else "not seen"
    rows = "\n".join(
        f"| {label} | {change:+.5f} | {proof['foreground'][label]['dice']:.4f} | "
        f"{proof['foreground'][label]['worst']:.4f} |"
        for label, change in proof["dice_change"].items()
    )
    return (
        f"On {proof['cases']} cases {seen} in training.\n\n| label | change of the Dice with the "
        "expert | Dice of the two masks | in the worst case |\n| --- | --- | --- | --- |\n" + rows
    )
