"""Put the recorded results into the README, between its markers.

    python scripts/update_readme.py            # from benchmarks/results/*.json
    python scripts/update_readme.py --measure  # run the demo first and record it

The tests compare the README with the same records, so that no number stands there by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import docs_tables as docs
import readme_tables as tables
import speed_tables as speed

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def record(name: str) -> dict[str, Any]:
    """What a command recorded."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def render(text: str) -> str:
    """The README with everything between its markers rendered anew."""
    demo = json.loads((RESULTS / "demo.json").read_text())
    levels = {
        path.stem.removeprefix("levels_"): json.loads(path.read_text())
        for path in RESULTS.glob("levels_*.json")
    }
    bodies = {
        "demo": tables.render_demo(demo),
        "levels": tables.render_levels(levels),
        "checkpoints": docs.render_checkpoints(),
    }
    renderers = {
        "ordinary_networks": tables.render_ordinary,
        "front_nmnist": tables.render_front_nmnist,
        "front_mnist": tables.render_front_mnist,
        "early_exit_nmnist": tables.render_early_exit,
        "camera_model": docs.render_camera_model,
        "simulated_recorded": docs.render_simulated_recorded,
        "compare_peers": docs.render_peers,
        "bench_neuron": speed.render_neuron,
        "bench_search": speed.render_search,
        "bench_end_to_end": speed.render_end_to_end,
    }
    for name, renderer in renderers.items():
        bodies[name] = renderer(record(name))
    bodies |= {
        "paper_table5": docs.render_paper_table5(record("ablation_resnet20")),
        "searched_curves": docs.render_searched_curves(
            record("ablation_curves"), record("ablation_resnet20")
        ),
        "paper_errors": docs.render_paper_errors(record("ablation_curves")),
        "twin_sinabs": docs.render_twin_sinabs(record("twin_sinabs")),
        "bench_twin": docs.render_twin_speed(record("bench_twin")),
        "compare_simulators": docs.render_simulators(record("compare_simulators")),
        "twin_silicon": docs.render_silicon(record("twin_silicon")),
        "paper_search": docs.render_paper_search(record("sensitivity_resnet20")),
    }
    for path in RESULTS.glob("ablation_*.json"):
        if "rows" in (found := json.loads(path.read_text())):
            bodies[path.stem] = tables.render_ablation(found)
    for marker, body in bodies.items():
        pattern = rf"(<!-- {marker}:begin -->\n).*?(<!-- {marker}:end -->)"
        text = re.sub(pattern, lambda m, b=body: f"{m[1]}{b}\n{m[2]}", text, flags=re.DOTALL)
    return text


def measure() -> None:
    """Run the demo and record what it prints as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["-c", "from speck_adacal.cli import main; main()", "demo", "--json"]
        done = subprocess.run(
            [sys.executable, *command, "--out", f"{folder}/demo_out"],
            capture_output=True,
            text=True,
            check=True,
        )
    result = json.loads(done.stdout)
    result.update(command="speck-adacal demo --json", bundle="demo_out")
    result["report"] = "demo_out/report.html"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "demo.json").write_text(json.dumps(result, indent=2) + "\n")


def main() -> None:
    """Render, after measuring where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true")
    if parser.parse_args().measure:
        measure()
    readme = ROOT / "README.md"
    readme.write_text(render(readme.read_text()))


if __name__ == "__main__":
    main()
