"""Lay out tables: in columns of plain text, in HTML, in Markdown."""

import html
from collections.abc import Iterator, Sequence

CELL = "text-align: left; vertical-align: top; padding: 0.15em 1.2em 0.15em 0"

Row = Sequence[str]


def aligned(rows: Sequence[Row], gap: str = "  ") -> Iterator[str]:
    """Set rows in columns, each line without blanks at its end."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield gap.join(map(str.ljust, row, widths)).rstrip()


def html_table(head: Row, rows: Sequence[Row], cell: str = CELL) -> str:
    """Write a table as HTML, every cell of one style; the cells are text."""
    titles = "".join(f'<th scope="col" style="{cell}">{html.escape(name)}</th>' for name in head)
    lines = (
        "".join(f'<td style="{cell}">{html.escape(text)}</td>' for text in row) for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def markdown_table(head: Row, rows: Sequence[Row]) -> str:
    """Write a table as Markdown; the cells may hold any Markdown of one line."""
    lines = [head, ("---",) * len(head), *rows]
    escaped = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)
