"""The notebooks are the examples, cell by cell, and run in a real kernel."""

from __future__ import annotations

import ast
from pathlib import Path

import make_gallery
import make_notebooks
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted(make_notebooks.NOTEBOOKS.glob("*.ipynb"))


def code_of(notebook):
    return [cell["source"] for cell in notebook.cells if cell["cell_type"] == "code"]


def test_every_example_is_a_notebook():
    assert [path.stem for path in NOTEBOOKS] == [path.stem for path in make_notebooks.EXAMPLES]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_its_example(path):
    program = (make_notebooks.ROOT / "examples" / f"{path.stem}.py").read_text()
    assert path.read_text() == make_notebooks.notebook_of(program), (
        "python scripts/make_notebooks.py"
    )
    notebook = nbformat.reads(path.read_text(), as_version=4)
    nbformat.validate(notebook)
    cells = code_of(notebook)
    if cells[-1] == make_notebooks.SHOWN:
        cells.pop()
    whole = ast.parse(program)
    assert ast.dump(ast.parse("\n".join(cells))) == ast.dump(ast.Module(whole.body[1:], []))


def test_a_notebook_runs_and_shows_what_the_gallery_shows(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(make_notebooks.ROOT))
    path = make_notebooks.NOTEBOOKS / "01_convert_digits.ipynb"
    notebook = nbformat.reads(path.read_text(), as_version=4)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    printed = "".join(
        output.get("text", "")
        for cell in notebook.cells
        if cell["cell_type"] == "code"
        for output in cell["outputs"]
        if output.get("name") == "stdout"
    )
    page = Path(make_gallery.GALLERY / f"{path.stem}.md").read_text()
    assert printed.split()[:5] == make_gallery.printed_on(page).split()[:5]
    shown = notebook.cells[-1]["outputs"][0]["data"]
    assert "<table" in shown["text/html"]
    assert "conv1" in shown["text/html"]
