# SPDX-License-Identifier: Apache-2.0

"""The page: one HTML file with everything in it, which needs no network and runs no script."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monai_ept.analysis.distances import Change

__all__ = ["Picture", "Section", "build_page", "certainty_table", "measures_table"]


@dataclass(frozen=True)
class Picture:
    """A picture, the sentence that says what it shows, and how many points wide it is on the page."""

    path: Path
    caption: str
    width: int


@dataclass(frozen=True)
class Section:
    """A part of the page: computed sentences, a table, pictures."""

    title: str
    sentences: Sequence[str] = ()
    table: str = ""
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = field(default_factory=tuple)


STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #f4f6f8; color: #222; font: 16px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1020px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; font-weight: 600; margin: 0 0 4px; }
h2 { font-size: 19px; font-weight: 600; margin: 0 0 10px; color: #1d4f7c; }
.about { color: #5b6670; margin: 0 0 20px; font-size: 14.5px; }
section { background: #fff; border: 1px solid #e2e7ec; border-radius: 10px; padding: 20px 24px; margin: 0 0 18px; }
.short { background: #eef4f9; border-color: #d5e3ef; }
ul { margin: 0 0 6px; padding-left: 20px; } li { margin: 4px 0; }
figure { margin: 18px 0 0; } figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { font-size: 14px; color: #4a545d; margin: 0 0 6px; }
table { border-collapse: collapse; width: 100%; margin: 12px 0 4px; font-size: 14.5px; }
th { text-align: left; font-weight: 600; color: #5b6670; border-bottom: 1px solid #cfd7de; padding: 5px 8px; }
td { border-bottom: 1px solid #edf0f3; padding: 5px 8px; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td small { color: #6a747d; display: block; }
.good { color: #00734f; } .bad { color: #b4441f; } .same { color: #6a747d; }
.note { color: #6a747d; font-size: 13.5px; margin: 8px 0 0; }
"""


def build_page(title: str, about: Sequence[str], short: Sequence[str], sections: Sequence[Section]) -> str:
    """
    The page's HTML.

    Args:
        title: its headline.
        about: what was analysed, in short phrases.
        short: the sentences that stand on top.
        sections: everything else.
    """
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
        f'<h1>{html.escape(title)}</h1>\n<p class="about">{" · ".join(map(html.escape, about))}</p>',
        f'<section class="short">\n<h2>In short</h2>\n{_bullets(short)}</section>',
    ]
    for section in sections:
        parts.append(f"<section>\n<h2>{html.escape(section.title)}</h2>\n{_bullets(section.sentences)}{section.table}")
        for picture in section.pictures:
            data = base64.b64encode(picture.path.read_bytes()).decode()
            alt = html.escape(picture.caption, quote=True)
            parts.append(
                f"<figure>\n<figcaption>{_text(picture.caption)}</figcaption>\n"
                f'<img src="data:image/png;base64,{data}" alt="{alt}" width="{picture.width}">\n</figure>'
            )
        parts += [f'<p class="note">{_text(note)}</p>' for note in section.notes]
        parts.append("</section>")
    return "\n".join([*parts, "</main>\n</body>\n</html>\n"])


def _bullets(sentences: Sequence[str]) -> str:
    return "<ul>\n" + "".join(f"<li>{_text(one)}</li>\n" for one in sentences) + "</ul>\n" if sentences else ""


def _text(sentence: str) -> str:
    """No line ends between a number and its percent sign."""
    return html.escape(sentence).replace(" %", "&nbsp;%")


MEASURES = {
    "within_share": ("Within-class share of the spread", "Σ_W / (Σ_W + Σ_B); has no unit, lower is tighter", -1),
    "silhouette": ("Silhouette", "from −1 to 1, higher is better separated", 1),
    "separability": ("Linear separability", "balanced accuracy on groups not seen, higher is better", 1),
    "within": ("Within-class spread, trace of Σ_W", "the paper's intra-class distance, in the features' own unit", 0),
    "between": ("Between-class spread, trace of Σ_B", "in the features' own unit", 0),
    "total": ("Spread of all images", "the sum of both: how large the features are", 0),
}


def measures_table(changes: Mapping[str, Change]) -> str:
    """The measures with their difference and its interval; a measure without a good direction gets no verdict."""
    rows = []
    for name, (title, what, sign) in MEASURES.items():
        if name not in changes:
            continue
        one = changes[name]
        interval = "" if math.isnan(one.low) else f"{_number(one.low, True)} to {_number(one.high, True)}"
        verdict = '<span class="same">no clear change</span>'
        if one.clear and sign:
            better = one.difference * sign > 0
            verdict = f'<span class="{"good" if better else "bad"}">{"better" if better else "worse"}</span>'
        elif one.clear:
            verdict = f"<span>{'lower' if one.difference < 0 else 'higher'}</span>"
        rows.append(
            f"<tr><td>{title}<small>{what}</small></td>"
            f'<td class="n">{_number(one.pretrained)}</td><td class="n">{_number(one.tuned)}</td>'
            f'<td class="n">{_number(one.difference, True)}<small>{interval}</small></td><td>{verdict}</td></tr>'
        )
    return (
        '<table>\n<tr><th>measure</th><th class="n">pretrained</th><th class="n">tuned</th>'
        '<th class="n">difference, 95 % interval</th><th></th></tr>\n' + "\n".join(rows) + "\n</table>\n"
    )


CERTAINTY = {
    "ece": ("Expected calibration error", "mean gap between how sure and how often right, lower is better"),
    "brier": ("Brier score", "squared error of the probabilities, lower is better"),
    "nll": ("Negative log-likelihood", "what the temperature is chosen to lower, on validation images"),
}


def certainty_table(before: Mapping[str, float], after: Mapping[str, float] | None) -> str:
    """Calibration measures before and after temperature scaling."""
    rows = [
        f'<tr><td>{title}<small>{what}</small></td><td class="n">{_number(before[name])}</td>'
        f'<td class="n">{_number(after[name]) if after else "–"}</td></tr>'
        for name, (title, what) in CERTAINTY.items()
    ]
    return (
        '<table>\n<tr><th>measure</th><th class="n">as trained</th><th class="n">with the temperature</th></tr>\n'
        + "\n".join(rows)
        + "\n</table>\n"
    )


def _number(value: float, signed: bool = False) -> str:
    if math.isnan(value):
        return "–"
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"
    return (f"+{text}" if signed and not text.startswith("-") else text).replace("-", "−")
