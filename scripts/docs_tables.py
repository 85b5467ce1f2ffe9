"""Records behind the pages of the docs as Markdown tables: data, peers, the paper, the twin."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from safetensors import safe_open
from speed_tables import machine_line

ROOT = Path(__file__).resolve().parents[1]


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
    """The paper's ablation beside ours; energies relative to AdaFire's, since units differ,
    and ours to the trained network's."""
    paper = json.loads((ROOT / "benchmarks" / "paper_numbers.json").read_text())
    theirs = {row["name"]: row for row in paper["table5_cifar10"]}
    ours = {row["name"].split(" (")[0]: row for row in result["rows"]}
    base = theirs["AdaFire"]["energy_mj"], ours["AdaFire"]["energy_uj"]
    lines = [
        "| | paper: accuracy | energy | of AdaFire's | ours: accuracy | energy | of AdaFire's "
        "| of the network's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in theirs.items():
        cells = [name, f"{row['accuracy']:.2%}", f"{row['energy_mj']:.2f} mJ"]
        cells.append(f"{row['energy_mj'] / base[0]:.0%}")
        if name in ours:
            own = ours[name]
            cells += [f"{own['accuracy']:.2%}", f"{own['energy_uj'] / 1e3:.3f} mJ"]
            cells.append(f"{own['energy_uj'] / base[1]:.0%}")
            cells.append(f"{own['energy_uj'] / ours['network']['energy_uj']:.0%}")
        else:
            cells += ["not run"] + [""] * 3
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


def render_searched_curves(result: dict[str, Any], ablation: dict[str, Any]) -> str:
    """What searching changed at equal spikes, image by image, with standard errors."""
    curves = result["curves"]
    network = next(row["accuracy"] for row in ablation["rows"] if row["name"] == "network")
    lines = [
        f"ResNet-20, T = 8, {result['images']:,} CIFAR-10 test images, all else on training images "
        f"(`{result['command']}`; simulated; changes are means over the images, ± one standard "
        f"error; the network itself has {network:.2%}, which is the change in brackets):",
        "",
        "| uniform | spikes, thousands | searched | accuracy | change, points | KL, eq. 9 | change "
        "| KL, as searched | change |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for sign, key in (("φ", "phi"), ("ρ", "rho")):
        both = (curves.get(f"{kind} {sign}", []) for kind in ("uniform", "searched"))
        pairs = zip(*both, strict=True)
        for before, after in sorted(pairs, key=lambda pair: pair[0][key]):
            most = f"({100 * (network - before['accuracy']):+.2f})"
            cells = [f"{before['accuracy']:.2%}", f"{_change(after, 'accuracy', 100, 2)} {most}"]
            for kl in ("kl", "kl as searched"):
                cells += [f"{before[kl]:.4f}", _change(after, kl, 1, 4)]
            lines.append(
                f"| {sign} = {before[key]:g} | {before['spikes'] / 1e3:.0f} "
                f"| {after['spikes'] / 1e3:.0f} | {' | '.join(cells)} |"
            )
    return "\n".join(lines)


def _change(point: dict[str, float], key: str, unit: float, digits: int) -> str:
    change, error = point[f"{key} change"] * unit, point[f"{key} change error"] * unit
    if change == error == 0:
        return "none found"
    return f"{change:+.{digits}f} ± {error:.{digits}f}"


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


def render_twin_sinabs(result: dict[str, Any]) -> str:
    """Spikes of sinabs in time steps, and of the twin under other rules, over the twin's."""
    layers = len(result["twin_spikes"])
    lines = [
        f"| run | recordings | {' | '.join(f'layer {i + 1}' for i in range(layers))} | accuracy | "
        "decisions as the twin's |",
        f"|---|---|{'---|' * (layers + 2)}",
    ]
    for row in result["rows"]:
        ratios = " | ".join(f"{ratio:.3f}" for ratio in row["ratios"])
        lines.append(
            f"| {row['run']} | {row['recordings']} | {ratios} | {row['accuracy']:.1%} | "
            f"{row['agreement']:.1%} |"
        )
    return "\n".join(lines)


def render_twin_speed(result: dict[str, Any]) -> str:
    """What `benchmarks/bench_twin.py` measured, and on what."""
    layer, machine = result["mnist_second_layer"], result["machine"]
    rows = {
        "second layer of sinabs' MNIST network, T = 100": (
            f"{layer['best_synops_per_s'] / 1e9:.1f} G SynOps/s "
            f"({layer['best_ns_per_event']:.0f} ns an event)"
        ),
        "the same vector loop over contiguous arrays, in the same run (the ceiling)": (
            f"{layer['ceiling_synops_per_s'] / 1e9:.1f} G SynOps/s"
        ),
        "share of the ceiling": f"{layer['fraction_of_ceiling']:.0%}",
        "share of the ceiling where events reach all 25 columns": (
            f"{layer['all_columns_fraction_of_ceiling']:.0%}"
        ),
        "a mean event of this layer, at the ceiling": f"{layer['ceiling_ns_per_event']:.0f} ns",
        "an event that reaches one column": f"{layer['one_column_ns_per_event']:.0f} ns",
        "a mean event's time where nothing fires": f"{layer['time_without_firing']:.0%}",
        "the same, events in order of place": f"{layer['time_without_firing_sorted']:.0%}",
        "N-MNIST recordings, the NIR paper's network, stock thresholds": (
            f"{result['nmnist']['best_times_real_time']:.0f} × real time"
        ),
        "the same with two cores monitored (the loop for any network)": (
            f"{result['nmnist']['two_monitors_times_real_time']:.0f} × real time"
        ),
        "nine cores, 128 × 128, 100 k events/s": (
            f"{result['nine_cores']['times_real_time']:.1f} × real time"
        ),
        "two threads (wall time)": f"{result['nmnist']['two_threads_speedup_wall']:.2f} × one",
        "one N-MNIST recording, dense PyTorch against the twin": (
            f"{result['dense_nmnist']['pytorch_ms']:.0f} ms against "
            f"{result['dense_nmnist']['twin_ms']:.1f} ms"
        ),
    }
    lines = [
        f"{machine_line(machine)}; one thread in CPU seconds, best of all:",
        "",
        "| what | figure |",
        "|---|---|",
    ]
    return "\n".join(lines + [f"| {what} | {figure} |" for what, figure in rows.items()])


def render_simulators(result: dict[str, Any]) -> str:
    """The twin beside public simulators, one layer."""
    lines = ["| simulator | CPU time | SynOps/s | spikes |", "|---|---|---|---|"]
    for row in result["simulators"]:
        lines.append(
            f"| {row['simulator']} | {1000 * row['cpu_s']:.0f} ms | "
            f"{row['synops_per_s'] / 1e6:.0f} M | {row['spikes']} |"
        )
    return "\n".join(lines)
