"""The model card as one HTML file: no script, nothing from elsewhere, fit for paper."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from dashboard.pages.model_card import svg, texts
from dashboard.pages.model_card.sections import ModelCard, Section, TableRows

_STYLE = """
:root { color-scheme: light dark; --text: #0d1522; --soft: #4f5c6d; --line: #d5dde8; --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8edf4; --soft: #b4c0d0; --line: #314055; --page: #0f151e; }
}
body { margin: 0 auto; max-width: 54rem; padding: 2rem 1.25rem 4rem; background: var(--page);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: .5rem 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
.soft, caption { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: .75rem 0; }
caption { position: absolute; left: -99rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0;
  border-bottom: 1px solid var(--line); }
svg { display: block; width: 100%; max-width: 40rem; margin: 1rem 0; }
svg text { fill: currentColor; font: 13px system-ui, sans-serif; }
@media print {
  :root { --text: #000; --soft: #333; --line: #999; --page: #fff; color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  section, tr, svg { break-inside: avoid; }
  h2 { break-after: avoid; }
  .wide { overflow: visible; }
}
"""


def render_html(card: ModelCard) -> str:
    """Return the card as a page.

    Returns
    -------
    str
        A whole page; all text of the bundle is escaped, and the page's own policy lets a browser
        load nothing and run nothing.
    """
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(f'{texts.TITLE} {card.version} · Cardiowatch')}</title>",
            f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>",
            f'<p class="soft">{escape(texts.subtitle(card.version))}</p>',
            f"<h1>{escape(card.verdict)}</h1>",
            f"<p>{escape(texts.ESTIMATES)}</p>",
            *(_section(section) for section in card.sections),
            "</main>\n</body>\n</html>\n",
        )
    )


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>", f"<p>{escape(section.text)}</p>"]
    if section.chart:
        parts.append(svg.draw(section.chart))
    if section.points:
        parts.append(f"<ul>{''.join(f'<li>{escape(point)}</li>' for point in section.points)}</ul>")
    if section.table:
        parts.append(_table(section.table, section.title))
    if section.note:
        parts.append(f'<p class="soft">{escape(section.note)}</p>')
    return f"<section>{''.join(parts)}</section>"


def _table(rows: TableRows, name: str) -> str:
    head = _cells("th", rows[0], ' scope="col"')
    body = "".join(f"<tr>{_cells('td', row.values())}</tr>" for row in rows)
    return (
        # A wide table can be reached and moved with the keyboard.
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(name)}: table">'
        f"<table><caption>{escape(name)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cells(tag: str, words: Iterable[str], attributes: str = "") -> str:
    return "".join(f"<{tag}{attributes}>{escape(word)}</{tag}>" for word in words)
