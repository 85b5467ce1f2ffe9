"""Put the recorded results into the README, between its markers.

    python scripts/update_readme.py            # from benchmarks/results/*.json
    python scripts/update_readme.py --measure  # run the demo first and record it

The tests compare the README with the same records, so that no number stands there by hand.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def render_demo(result: dict[str, Any]) -> str:
    """The demo's table."""
    lines = ["| level | what runs | accuracy on 400 digits |", "|---|---|---|"]
    lines += [
        f"| {level['level']} | {level['meaning']} | {level['accuracy']:.2%} |"
        for level in result["levels"]
    ]
    energy = result["energy"]
    lines += [
        "",
        f"{result['synops_per_sample']['value']:,.0f} SynOps a digit (simulated) from "
        f"{result['events_per_sample']:,.0f} input events, on {len(result['layers'])} cores; "
        f"{energy['snn_nj']:,.0f} nJ a digit against {energy['ann_nj']:,.0f} nJ for the trained "
        "network (estimated, 45 nm convention).",
    ]
    return "\n".join(lines)


def render_levels(results: dict[str, dict[str, Any]]) -> str:
    """One row per network measured on the 10,000 test digits of MNIST, T = 8."""
    lines = [
        "MNIST's 10,000 test digits, T = 8, default settings, calibrated on 256 training digits "
        "(`python benchmarks/levels_mnist.py`; SynOps simulated):",
        "",
        "| network | ann | snn | quantized | event | SynOps a digit |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in sorted(results.items()):
        accuracies = " | ".join(f"{level['accuracy']:.2%}" for level in result["levels"])
        synops = result["synops_per_sample"]["value"]
        lines.append(f"| `{name}` | {accuracies} | {synops / 1e6:.2f} M |")
    lines += [
        "",
        "`digits_cnn` is shipped; `mnist_cnn_sinabs` is the network of sinabs' own MNIST example "
        "(give its weights with `--model`).",
    ]
    return "\n".join(lines)


def render_ablation(result: dict[str, Any]) -> str:
    """One line per row of `benchmarks/ablation.py`; energies beside AdaFire's."""
    rows = result["rows"]
    full = next((r["energy_uj"] for r in rows if r["name"].startswith("AdaFire")), None)
    lines = [
        f"`{result['settings']['network']}`, {result['images']:,} test images; calibrated and "
        f"searched on {result['choices made on']} (`{result['command']}`; accuracy, steps and "
        "SynOps simulated, energies estimated):",
        "",
        "| network | accuracy | mean T | SynOps (M) | energy (µJ) | of AdaFire |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        part = "" if full is None or not row["synops"] else f"{row['energy_uj'] / full:.0%}"
        lines.append(
            f"| {row['name']} | {row['accuracy']:.2%} | {row['mean_steps']:.2f} | "
            f"{row['synops'] / 1e6:.1f} | {row['energy_uj']:.1f} | {part} |"
        )
    return "\n".join(lines)


def render_front_nmnist(result: dict[str, Any]) -> str:
    """One line per budget of `benchmarks/front_nmnist.py`, beside stock sinabs."""
    seconds = max(fold["search_seconds"] for fold in result["folds"])
    stock = result["stock"]
    lines = [
        f"For each budget a point is chosen on one half of {result['recordings']:,} recordings and "
        f"measured on the other, both ways (`{result['command']}`; simulated on the twin, ± one "
        f"standard error; a search took {seconds:.0f} s at most):",
        "",
        "| budget | whole recording, SynOps | accuracy | with early exit, SynOps | accuracy | "
        "in time steps (estimated) |",
        "|---|---|---|---|---|---|",
        f"| stock sinabs | {_point(stock)} | | | |",
    ]
    for row in result["budgets"]:
        limit = row["max_synops"]
        name = "none" if limit is None else f"{limit / 1e6:.1f} M"
        stepped = f"{row['time_stepped']['accuracy']:.1%}"
        cells = [name, _point(row["whole"]), _point(row["early_exit"]), stepped]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", _gap_sentence(result)])


def _point(row: dict[str, float]) -> str:
    accuracy = f"{row['accuracy']:.1%} ± {row['standard_error']:.1%}"
    return f"{row['synops'] / 1e6:.2f} M | {accuracy}"


def _gap_sentence(result: dict[str, Any]) -> str:
    """Spikes by layer on the twin over those in time steps, over all points."""
    ratios: dict[str, list[float]] = {}
    for fold in result["folds"]:
        for point in fold["points"]:
            for layer in point["time_stepped"]["layers"]:
                if layer["time_stepped"]:
                    ratio = layer["twin"] / layer["time_stepped"]
                    ratios.setdefault(layer["name"], []).append(ratio)
    parts = [f"{name}: {min(r):.2f} to {max(r):.2f}" for name, r in ratios.items()]
    return (
        "Between the two estimators lie, in spikes of a layer (twin over time-stepped, over all "
        f"points): {', '.join(parts)}."
    )


def render_front_mnist(result: dict[str, Any]) -> str:
    """The front of `benchmarks/front_mnist.py` beside stock sinabs."""
    lines = [
        f"Front searched on {result['calibration']} training digits and measured on "
        f"{result['test']} test digits; stock sinabs on the first {result['stock_test']} of them "
        f"(`{result['command']}`; all on the twin, ± one standard error):",
        "",
        "| what | accuracy | SynOps a digit |",
        "|---|---|---|",
    ]
    rows = [("front", row) for row in result["front"]]
    rows += [(f"stock sinabs, T = {row['time_steps']}", row) for row in result["stock"]]
    lines += [
        f"| {name} | {row['accuracy']:.1%} ± {row['standard_error']:.1%} | "
        f"{row['synops'] / 1e6:.2f} M |"
        for name, row in rows
    ]
    return "\n".join(lines)


def render_early_exit(result: dict[str, Any]) -> str:
    """One line per allowed loss of `benchmarks/early_exit_nmnist.py`."""
    lines = [
        f"{result['recordings']:,} recorded N-MNIST digits, exits calibrated on one half and "
        "measured on the other, both ways (`python benchmarks/early_exit_nmnist.py --real FILE`; "
        f"simulated; full length {result['rows'][0]['accuracy_full']:.2%}):",
        "",
        "| allowed loss (points) | accuracy | points below full length | median time | "
        "median events | SynOps, of full |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {100 * row['allowed_loss']:.2f} | {row['accuracy']:.2%} | "
            f"{row['points_below_full']:.2f} ± {row['points_standard_error']:.2f} | "
            f"{row['median_time']:.0%} | {row['median_events']:.0%} | "
            f"{row['mean_synops'] / row['mean_synops_full']:.0%} |"
        )
    return "\n".join(lines)


def render_camera_model(result: dict[str, Any]) -> str:
    """What `scripts/validate_camera_model.py` found, line by line."""
    lines = [f"| {result['recordings']} recordings, each beside the model on its own digit | |"]
    lines.append("|---|---|")
    rows = {k: v for k, v in result.items() if k not in ("command", "recordings")}
    return "\n".join(lines + [f"| {name} | {value:.4g} |" for name, value in rows.items()])


def render_simulated_recorded(result: dict[str, Any]) -> str:
    """The gap between training on simulated and on recorded events."""
    half = result["recordings"] // 2
    rows = {
        f"{half} recordings": result["trained_on_recorded_half"],
        f"simulated events of the same {half} digits": result["trained_on_simulated_half"],
        "simulated events of 30,000 other digits (`nmnist_cnn`, shipped)": result[
            "shipped_trained_on_simulated_30000"
        ],
    }
    gap = 100 * (result["trained_on_recorded_half"] - result["trained_on_simulated_half"])
    lines = [
        f"Accuracy of float networks on {result['recordings']:,} recordings "
        f"(`{result['command']}`; the first two rows train on one half and test on the other, both "
        "ways):",
        "",
        "| trained on | accuracy on recorded events |",
        "|---|---|",
        *(f"| {name} | {value:.2%} |" for name, value in rows.items()),
        "",
        f"The gap at equal digits is {gap:.1f} points.",
    ]
    return "\n".join(lines)


def render_peers(result: dict[str, Any]) -> str:
    """Accuracy and SynOps of everybody's conversion after each number of steps."""
    steps = [row["steps"] for row in next(iter(result["rows"].values()))]
    lines = [
        f"The shipped `digits_cnn` on {result['samples']:,} MNIST test digits (the network itself: "
        f"{result['network']:.2%}), accuracy at SynOps a digit (`{result['command']}`; simulated, "
        "time-stepped, analog input):",
        "",
        f"| | {' | '.join(f'T = {t}' for t in steps)} |",
        f"|---|{'---|' * len(steps)}",
    ]
    for name, rows in result["rows"].items():
        cells = [f"{row['accuracy']:.2%} at {row['synops'] / 1e6:.2f} M" for row in rows]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def render_paper_table5(result: dict[str, Any]) -> str:
    """The paper's ablation beside ours; energies relative to AdaFire's, since units differ."""
    paper = json.loads((ROOT / "benchmarks" / "paper_numbers.json").read_text())
    theirs = {row["name"]: row for row in paper["table5_cifar10"]}
    ours = {row["name"].split(" (")[0]: row for row in result["rows"]}
    base = theirs["AdaFire"]["energy_mj"], ours["AdaFire"]["energy_uj"]
    lines = [
        "| | paper: accuracy | energy | of AdaFire's | ours: accuracy | energy | of AdaFire's |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in theirs.items():
        cells = [name, f"{row['accuracy']:.2%}", f"{row['energy_mj']:.2f} mJ"]
        cells.append(f"{row['energy_mj'] / base[0]:.0%}")
        if name in ours:
            own = ours[name]
            cells += [f"{own['accuracy']:.2%}", f"{own['energy_uj'] / 1e3:.3f} mJ"]
            cells.append(f"{own['energy_uj'] / base[1]:.0%}")
        else:
            cells += ["not run"] + [""] * 2
        lines.append(f"| {' | '.join(cells)} |")
    network = ours["network"]["accuracy"]
    return "\n".join([*lines, "", f"Our network itself has {network:.2%} on the same images."])


def render_paper_errors(result: dict[str, Any]) -> str:
    """Parts of a layer's own error over φ, relative root mean squares."""
    rows = result["curves"]["errors"]
    lines = ["| φ | clipping | quantisation | unevenness |", "|---|---|---|---|"]
    for row in rows:
        parts = [f"{row[name]:.1%}" for name in ("clipping", "quantisation", "unevenness")]
        lines.append(f"| {row['phi']:g} | {' | '.join(parts)} |")
    return "\n".join(lines)


def render_paper_search(result: dict[str, Any]) -> str:
    """How often a random choice of φ has more KL than uniform ones of the same SynOps."""
    uniform = sorted(result["curves"]["uniform"], key=lambda p: p["synops"])
    x, y = [p["synops"] for p in uniform], [p["kl"] for p in uniform]

    def worse(name: str) -> tuple[int, int]:
        inside = [p for p in result["curves"][name] if x[0] <= p["synops"] <= x[-1]]
        return sum(p["kl"] > _on_line(p["synops"], x, y) for p in inside), len(inside)

    (random, of_random), (front, of_front) = worse("random"), worse("frontier")
    return (
        f"Of {of_random} random choices of φ {random} have a higher KL than uniform φ at the same "
        f"SynOps (between its measured points, logarithmically), and {front} of {of_front} points "
        f"of the frontier."
    )


def _on_line(at: float, x: list[float], y: list[float]) -> float:
    """Logarithmic interpolation of y at x."""
    for left in range(len(x) - 1):
        if x[left] <= at <= x[left + 1]:
            part = (at - x[left]) / (x[left + 1] - x[left])
            return math.exp((1 - part) * math.log(y[left]) + part * math.log(y[left + 1]))
    raise ValueError(f"{at} lies outside {x[0]} to {x[-1]}")


def render_silicon(result: dict[str, Any]) -> str:
    """Every setting that was tried against the recording of a real chip's first core."""
    lines = ["| | setting | equal neurons (each recording) | worst total |", "|---|---|---|---|"]
    for row in result["rows"]:
        each = ", ".join(f"{100 * share:.1f}" for share in row["equal_by_recording"])
        same = " (the same spikes)" if row["same_as_defaults"] else ""
        name = row["setting"] + (same if row["setting"] != "defaults" else "")
        share, worst = f"{row['equal']:.2%}", f"{row['worst_total']:.2%}"
        lines.append(f"| {row['group']} | {name} | {share} ({each}) | {worst} |")
    return "\n".join(lines)


CHECKPOINTS = ("digits_cnn", "fashion_cnn", "nmnist_cnn", "cifar10_cnn")
_ACCURACIES = {
    "test_accuracy": "on the test images",
    "test_accuracy_rate_coded_T8": "rate-coded in 8 steps",
    "accuracy_real_recordings": "recorded N-MNIST digits whose images were left out of training",
    "accuracy_real_first_saccade": "of them by the first saccade alone",
}


def render_checkpoints() -> str:
    """The shipped networks, by what their files' headers say."""
    lines = ["| checkpoint | trained on | accuracy of the float network |", "|---|---|---|"]
    for name in CHECKPOINTS:
        with safe_open(ROOT / "datasets" / f"{name}.safetensors", "pt") as file:
            header = file.metadata()
        found = [
            f"{100 * float(header[key].split()[0]):.2f} % {meaning}"
            for key, meaning in _ACCURACIES.items()
            if key in header
        ]
        lines.append(f"| `{name}` | {header['dataset']} | {'; '.join(found)} |")
    return "\n".join(lines)


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
        "demo": render_demo(demo),
        "levels": render_levels(levels),
        "checkpoints": render_checkpoints(),
    }
    renderers = {
        "front_nmnist": render_front_nmnist,
        "front_mnist": render_front_mnist,
        "early_exit_nmnist": render_early_exit,
        "camera_model": render_camera_model,
        "simulated_recorded": render_simulated_recorded,
        "compare_peers": render_peers,
    }
    for name, renderer in renderers.items():
        bodies[name] = renderer(record(name))
    bodies |= {
        "paper_table5": render_paper_table5(record("ablation_resnet20")),
        "paper_errors": render_paper_errors(record("ablation_curves")),
        "twin_silicon": render_silicon(record("twin_silicon")),
        "paper_search": render_paper_search(record("sensitivity_resnet20")),
    }
    for path in RESULTS.glob("ablation_*.json"):
        if "rows" in (found := json.loads(path.read_text())):
            bodies[path.stem] = render_ablation(found)
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
