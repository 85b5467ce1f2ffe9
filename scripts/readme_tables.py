"""Records of the README's results as Markdown tables: levels, fronts, early exits, the ablation."""

from __future__ import annotations

from typing import Any


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


def render_ordinary(result: dict[str, Any]) -> str:
    """One row per network as people write them, on the twin by default settings."""
    first = next(iter(result["networks"].values()))
    lines = [
        f"Fashion-MNIST, {first['test']:,} test images, calibrated on {first['calibration']:,} "
        "training images without labels, default settings; the front within 0.7 of the default's "
        f"SynOps (`{result['command']}`; differences are of the same images, ± one standard error; "
        "accuracy and SynOps simulated):",
        "",
        "| network | trained | on the twin | points | SynOps | cores "
        "| front: twin | points | SynOps |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in result["networks"].items():
        cells = [f"`{name}`", f"{row['trained']:.2%}", *_on_the_twin(row, row["trained"])]
        cells.append(str(row["cores"]))
        cheaper = row.get("front")
        cells += _on_the_twin(cheaper, row["trained"]) if cheaper else ["not run", "", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _on_the_twin(row: dict[str, Any], trained: float) -> list[str]:
    points, error = 100 * (row["chip"] - trained), 100 * row["difference_error"]
    return [f"{row['chip']:.2%}", f"{points:+.2f} ± {error:.2f}", f"{row['synops'] / 1e6:.2f} M"]


def render_ablation(result: dict[str, Any]) -> str:
    """One line per row of `benchmarks/ablation.py`; energies beside the trained network's."""
    rows = result["rows"]
    full = next(r["energy_uj"] for r in rows if r["name"] == "network")
    lines = [
        f"`{result['settings']['network']}`, {result['images']:,} test images; calibrated and "
        f"searched on {result['choices made on']} (`{result['command']}`; accuracy, steps and "
        "SynOps simulated, energies estimated):",
        "",
        "| network | accuracy | mean T | SynOps (M) | energy (µJ) | of the network's |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        part = f"{row['energy_uj'] / full:.0%}"
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
