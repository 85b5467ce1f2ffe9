"""Write the examples as notebooks, `examples/notebooks/*.ipynb`, from their programs.

    python scripts/make_notebooks.py

A cell for each paragraph of a program; where there is a deployment, the last cell shows it as a
table. The tests compare the notebooks with the programs, which they run.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
NOTEBOOKS = ROOT / "examples" / "notebooks"
SHOWN = "deployment"


def paragraphs(code: str) -> list[str]:
    """Module-level code in the parts that blank lines make, without the docstring."""
    body = ast.parse(code).body[1:]
    lines = code.splitlines()
    parts: list[list[str]] = [[]]
    end = ast.parse(code).body[0].end_lineno or 0
    for node in body:
        between = lines[end : node.lineno - 1]
        if "" in between and parts[-1]:
            parts.append([])
        first = len(between) - between[::-1].index("") if "" in between else 0
        end = node.end_lineno or node.lineno
        parts[-1] += [*between[first:], *lines[node.lineno - 1 : end]]
    return ["\n".join(part) for part in parts if part]


def notebook_of(code: str) -> str:
    """A program as a notebook's text, without outputs."""
    said = ast.get_docstring(ast.parse(code)) or ""
    title, _, rest = re.sub(r"\n *python examples/\S+\n", "", said).partition("\n\n")
    cells = [new_markdown_cell(f"# {title.strip()}\n\n{rest.strip()}".strip())]
    cells += [new_code_cell(part) for part in paragraphs(code)]
    if re.search(rf"^ *{SHOWN} = ", code, re.MULTILINE):
        cells.append(new_code_cell(SHOWN))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    return nbformat.writes(notebook) + "\n"


def main() -> None:
    """Write all notebooks."""
    NOTEBOOKS.mkdir(exist_ok=True)
    for example in EXAMPLES:
        (NOTEBOOKS / f"{example.stem}.ipynb").write_text(notebook_of(example.read_text()))


if __name__ == "__main__":
    main()
