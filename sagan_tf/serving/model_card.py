"""The model card that goes with every export (Mitchell et al. 2019)."""

import typing


def model_card(
    title: str,
    facts: dict[str, dict[str, str]],
    scores: typing.Sequence[dict],
    class_names: typing.Sequence[str],
    *,
    intended_use: str,
    license: str,
) -> str:
    """The card in Markdown.

    Args:
      title: the card's title.
      facts: a table of names and values for each heading.
      scores: lines as `evaluation.results.read` returns them, measured on these weights.
      class_names: the name of each label; empty for an unconditional model.
      intended_use: one or more sentences; empty if not stated.
      license: the licence of the weights; empty if not stated.
    """
    parts = [f"# {title}", "", f"Licence: {license or '*not stated*'}", ""]
    parts += ["## Intended use", "", intended_use or "*Not stated.*", ""]
    for heading, rows in facts.items():
        parts += [f"## {heading}", "", *_table(("", ""), rows.items()), ""]
    parts += ["## Scores", "", *_scores(scores), ""]
    if class_names:
        rows = [(str(label), name) for label, name in enumerate(class_names)]
        parts += ["## Classes", "", *_table(("label", "class"), rows), ""]
    return "\n".join(parts)


def _scores(scores) -> list[str]:
    if not scores:
        return ["None has been measured on these weights; `python -m sagan_tf.evaluate` does."]
    header = ("metric", "value", "samples", "seed", "truncation", "classes", "reference", "network", "resize")
    keys = ("samples", "seed", "truncation", "class_distribution", "reference", "network", "resize")
    rows = []
    for line in scores:
        spread = "" if line["spread"] is None else f" +/- {line['spread']:.4g}"
        value = f"{line['value']:.5g}{spread}"
        rows.append((line["metric"], value, *(_text(line.get(key)) for key in keys)))
    note = "Compare scores only where everything beside the value is the same."
    return [*_table(header, rows), "", note]


def _text(value) -> str:
    return "" if value is None else str(value)


def _table(header, rows) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
