"""The code in the docs runs, page by page, each in a fresh folder, in the order of the page.

- ```python runs; with a title it is written to a file of that name instead.
- ```bash and ```console: lines with `speck-adacal` run, and so does `python FILE` where the page
  wrote that file. Others (make, pip, benchmarks) are left to people and to CI.
- `# exit code N` behind a command says how it ends.
- ```text right behind such a block is what it prints, numbers within 10 %.
- A block under a line "*Not run by the tests: reason.*" is left out.
- What a page takes for granted stands in an HTML comment above it, and runs too.
"""

from __future__ import annotations

import re
import runpy
import shlex
import sys
import warnings
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

from speck_adacal.cli import main

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
# What the README's command lines take for granted: a user's module, weights, and samples.
USERS_FILES = """```python title="my_module.py"
from torch import nn


def make_net():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(196, 10, bias=False),
    )
```

```python
import numpy as np
import torch
from my_module import make_net
from safetensors.torch import save_file

from speck_adacal import AdaptSettings
from speck_adacal.samples.batches import encode_samples
from speck_adacal.datasets.demo import load_demo_digits

torch.manual_seed(0)
save_file(make_net().state_dict(), "net.safetensors")
digits = load_demo_digits()
images, labels = digits.images[:80], digits.labels[:80]
np.savez("images.npz", images=images)
np.savez("labelled.npz", images=images, labels=labels)
recordings = encode_samples(images, (1, 28, 28), AdaptSettings()).recordings()
columns = {
    name: np.concatenate([getattr(r, field) for r in recordings])
    for name, field in zip("xypt", ("x", "y", "channel", "t_us"))
}
offsets = np.cumsum([0, *map(len, recordings)])
np.savez("recordings.npz", **columns, offsets=offsets, labels=labels, sensor_size=[28, 28, 1])
```

```bash
speck-adacal demo --out other.bundle
```

"""
BLOCK = re.compile(r"^```(\w+)?(?: title=\"([^\"\n]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SKIPPED = re.compile(r"\*Not run by the tests: .+\.\*\s*\Z")
NUMBER = re.compile(r"\d[\d,]*\.?\d*")
RUN = ("python", "bash", "console")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it is to be, its text, and what it prints."""

    language: str
    title: str
    text: str
    printed: str


def blocks_of(text: str) -> list[Block]:
    """The blocks of a page that are to be run or written, in order."""
    matches, found = list(BLOCK.finditer(text)), []
    for match, following in zip_longest(matches, matches[1:]):
        language, title, body = match[1] or "", match[2] or "", match[3]
        if language not in RUN or SKIPPED.search(text[: match.start()]):
            continue
        adjacent = following and not text[match.end() : following.start()].strip()
        printed = following[3] if adjacent and following[1] == "text" else ""
        found.append(Block(language, title, body, printed))
    return found


def run_command(line: str) -> None:
    """Run one command line in this process; one that ends otherwise than the page says fails."""
    words = shlex.split(line.removeprefix("$ "), comments=True)
    if words[:1] == ["python"] and Path(words[1]).is_file():
        runpy.run_path(words[1], run_name="__main__")
    if not words or words[0].removeprefix(".venv/bin/") != "speck-adacal":
        return
    said = re.search(r"#.* exit code (\d)", line)
    with pytest.raises(SystemExit) as stop:
        main(words[1:])
    assert (stop.value.code or 0) == int(said[1] if said else 0), line


def run_page(text: str, capsys: pytest.CaptureFixture[str]) -> int:
    """Run a page in the current folder; gives how many blocks ran."""
    names: dict[str, object] = {"__name__": "page"}
    blocks = blocks_of(text)
    for block in blocks:
        capsys.readouterr()
        if block.title:
            Path(block.title).write_text(block.text)
        elif block.language == "python":
            exec(compile(block.text, "page", "exec"), names)
        else:
            for line in block.text.replace("\\\n", " ").splitlines():
                run_command(line)
        if block.printed:
            same_output(capsys.readouterr().out, block.printed)
    return len(blocks)


def same_output(found: str, shown: str) -> None:
    """The same text, its numbers within 10 % (another processor's arithmetic)."""
    values = [[float(n.replace(",", "")) for n in NUMBER.findall(t)] for t in (found, shown)]
    assert words(found) == words(shown)
    np.testing.assert_allclose(values[0], values[1], rtol=0.1)


def words(text: str) -> list[str]:
    """A text without its numbers and how it is spaced."""
    return NUMBER.sub("#", text).split()


PAGES = sorted(
    page
    for page in DOCS.rglob("*.md")
    if page.parent.name != "gallery" and blocks_of(page.read_text())
)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """A new user's empty folder; modules that a page wrote are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # what a user's Python does
        yield tmp_path
    for name in set(sys.modules) - before:
        where = getattr(sys.modules[name], "__file__", None)
        if where and Path(where).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(DOCS)))
def test_the_code_of_a_page_runs(page, scratch, capsys):
    text = page.read_text()
    assert run_page(text, capsys) == len(blocks_of(text))


def test_the_code_of_the_readme_runs(scratch, capsys):
    text = USERS_FILES + README.read_text()
    assert run_page(text, capsys) == len(blocks_of(text))
    assert (scratch / "my_network.bundle" / "chip.json").is_file()


def test_a_page_whose_code_fails_fails(scratch, capsys):
    with pytest.raises(NameError):
        run_page("```python\nnot_there\n```\n", capsys)
    with pytest.raises(AssertionError, match="not_there"):
        run_page("```bash\nspeck-adacal verify not_there.bundle\n```\n", capsys)
    with pytest.raises(AssertionError):
        run_page("```python\nprint('3 spikes')\n```\n\n```text\n5 spikes\n```\n", capsys)
