"""A report as plain blocks, written as Markdown and as one HTML file that holds its pictures."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import dataclass
from pathlib import Path

from napari_dainr.io.atomic import write_text

__all__ = ["Block", "Code", "Heading", "Picture", "Table", "Text", "as_html", "as_markdown", "write_report"]


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    level: int
    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph; ``**bold**`` and `` `code` `` are understood."""

    text: str


@dataclass(frozen=True)
class Code:
    """Lines shown as they are, such as commands."""

    text: str
    language: str = "text"


@dataclass(frozen=True)
class Table:
    """Rows of text below a head."""

    head: list[str]
    rows: list[list[str]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG file, named relative to the report, and what it shows."""

    path: str
    caption: str


Block = Heading | Text | Code | Table | Picture

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1c2024; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 14px; display: block; overflow-x: auto; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #d8dce0; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { border-bottom: 2px solid #8a929a; }
img { max-width: 100%; }
figure { margin: 1.5rem 0; } figcaption { font-size: 14px; color: #50575e; }
pre { background: #f2f4f6; padding: .8rem; overflow-x: auto; }
"""


def as_markdown(blocks: list[Block]) -> str:
    """GitHub's Markdown."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append("#" * block.level + " " + block.text)
        elif isinstance(block, Text):
            parts.append(block.text)
        elif isinstance(block, Code):
            parts.append(f"```{block.language}\n{block.text}\n```")
        elif isinstance(block, Picture):
            parts.append(f"![{Path(block.path).stem}]({block.path})\n\n*{block.caption}*")
        else:
            rule = ["---", *["---:"] * (len(block.head) - 1)]
            lines = [
                "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
                for row in (block.head, rule, *block.rows)
            ]
            parts.append((f"**{block.caption}**\n\n" if block.caption else "") + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _inline(text: str) -> str:
    text = html.escape(text, quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)


def as_html(blocks: list[Block], folder: Path) -> str:
    """One page that needs no other file; pictures are read from ``folder``."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "Report")
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f"<h{block.level}>{_inline(block.text)}</h{block.level}>")
        elif isinstance(block, Text):
            parts.append(f"<p>{_inline(block.text)}</p>")
        elif isinstance(block, Code):
            parts.append(f"<pre>{html.escape(block.text)}</pre>")
        elif isinstance(block, Picture):
            data = base64.b64encode((folder / block.path).read_bytes()).decode("ascii")
            caption = html.escape(block.caption)
            parts.append(
                f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
                f"<figcaption>{caption}</figcaption></figure>"
            )
        else:
            head = "".join(f"<th>{_inline(cell)}</th>" for cell in block.head)
            rows = "".join(
                "<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>\n" for row in block.rows
            )
            caption = f"<p><strong>{_inline(block.caption)}</strong></p>\n" if block.caption else ""
            parts.append(f"{caption}<table>\n<tr>{head}</tr>\n{rows}</table>")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def write_report(blocks: list[Block], folder: Path) -> tuple[Path, Path]:
    """``report.md`` and ``report.html`` in ``folder``, each whole or not at all."""
    markdown, page = folder / "report.md", folder / "report.html"
    write_text(markdown, as_markdown(blocks))
    write_text(page, as_html(blocks, folder))
    return markdown, page
