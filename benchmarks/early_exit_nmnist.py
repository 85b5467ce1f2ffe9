"""How early can the chip stop? Early exit on recorded N-MNIST digits, on the chip twin.

    python benchmarks/early_exit_nmnist.py --real FILE.npz

The shipped `nmnist_cnn` (trained on simulated events alone) is adapted on simulated recordings of
the shipped digits. The exit's bars are calibrated on one half of the recordings of FILE and
measured on the other, both ways round, through a streaming session that reads a recording window
by window and stops. Calibration keeps to the allowed loss by cross-validation; of the half point
that is judged it gets half, because a bar that only just keeps a promise breaks it half the time
on other recordings. Writes `benchmarks/results/early_exit_nmnist.json` and
`docs/figures/early_exit_nmnist.svg`. Everything is simulated.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import matplotlib as mpl
import numpy as np

from speck_adacal import AdaptSettings, adapt, deploy, simulate
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.chip.deploy import Deployment
from speck_adacal.datasets.camera_sets import Spread, simulated_recordings
from speck_adacal.datasets.demo import load_demo_digits
from speck_adacal.events import Events
from speck_adacal.events.sample_files import load_samples
from speck_adacal.host import Decision, Session, TwinBackend, windows_of
from speck_adacal.inspection.exit_calibration import calibrate_early_exit
from speck_adacal.resources import resource_path

mpl.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent
LOSSES = (0.0, 0.0025, 0.005, 0.01)
JUDGED_LOSS = 0.0025
PHI = 4


def deployment_for(time_steps: int, seed: int) -> Deployment:
    digits = load_demo_digits()
    recordings = list(
        simulated_recordings(digits.calibration_images[:128], spread=Spread(), seed=seed)
    )
    network = load_network(resource_path("datasets", "nmnist_cnn.safetensors"))
    settings = AdaptSettings(time_steps=time_steps, phi=PHI, seed=seed, reset_each=True)
    return deploy(adapt(network, recordings, input_shape=(2, 34, 34), settings=settings))


def row(loss: float, decisions: list[Decision], recordings: list[Events], labels, full) -> dict:
    time = np.array([d.t_us / r.duration_us for d, r in zip(decisions, recordings, strict=True)])
    events = np.array([d.events / len(r) for d, r in zip(decisions, recordings, strict=True)])
    synops = np.array([d.synops for d in decisions])
    right = np.array([d.label for d in decisions]) == labels
    whole = full.decisions == labels
    difference = right.astype(float) - whole
    return {
        "allowed_loss": loss,
        "accuracy": float(right.mean()),
        "accuracy_full": float(whole.mean()),
        "points_below_full": float(100 * (whole.mean() - right.mean())),
        "points_standard_error": float(100 * difference.std(ddof=1) / np.sqrt(len(right))),
        "median_time": float(np.median(time)),
        "median_events": float(np.median(events)),
        "mean_time": float(time.mean()),
        "mean_events": float(events.mean()),
        "mean_synops": float(synops.mean()),
        "mean_synops_full": float(full.synops.mean()),
        "early": float(np.mean([d.early for d in decisions])),
    }


def table(rows: list[dict]) -> str:
    lines = [
        "| allowed loss | accuracy | points below full length | median time | median events | "
        "SynOps, of full |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {100 * r['allowed_loss']:.2f} | {r['accuracy']:.2%} | {r['points_below_full']:+.2f} "
        f"± {r['points_standard_error']:.2f} | {r['median_time']:.0%} | {r['median_events']:.0%} "
        f"| {r['mean_synops'] / r['mean_synops_full']:.0%} |"
        for r in rows
    ]
    return "\n".join(lines)


def figure(rows: list[dict], judged: list[Decision], recordings: list[Events], path: Path) -> None:
    style = {"svg.fonttype": "none", "svg.hashsalt": "speck-adacal early exit"}
    with mpl.rc_context({**style, "axes.spines.top": False, "axes.spines.right": False}):
        plot, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
        left.plot(
            [100 * r["median_events"] for r in rows], [100 * r["accuracy"] for r in rows], "o-"
        )
        for r in rows:
            left.annotate(
                f"{100 * r['allowed_loss']:g}",
                (100 * r["median_events"], 100 * r["accuracy"]),
                xytext=(4, -11),
                textcoords="offset points",
                fontsize=8,
            )
        left.axhline(100 * rows[0]["accuracy_full"], color="#9aa1ab", ls="--", label="full length")
        left.set(xlabel="median share of events used, %", ylabel="accuracy, % (simulated)")
        left.set_title("by allowed loss, in points", fontsize=10)
        left.legend(frameon=False, loc="lower right")
        shares = [100 * d.t_us / r.duration_us for d, r in zip(judged, recordings, strict=True)]
        right.hist(shares, bins=np.arange(0, 104, 4), color="#3567b5")
        right.axvline(float(np.median(shares)), color="#c96a1b", label="median")
        right.set(xlabel="share of the recording's time used, %", ylabel="recordings")
        right.set_title(f"allowed loss {100 * JUDGED_LOSS:g} points", fontsize=10)
        right.legend(frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        plot.savefig(path, metadata={"Date": None})
        plt.close(plot)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True, help="recorded N-MNIST, as .npz")
    parser.add_argument("--time-steps", type=int, default=16)
    parser.add_argument("--window-us", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=HERE / "results/early_exit_nmnist.json")
    parser.add_argument(
        "--figure", type=Path, default=HERE.parent / "docs/figures/early_exit_nmnist.svg"
    )
    args = parser.parse_args()
    samples = load_samples(args.real)
    deployment = deployment_for(args.time_steps, args.seed)
    full = simulate(deployment, samples.inputs)
    halves = np.arange(len(samples)) < len(samples) // 2
    rows, judged, rules = [], [], {}
    for loss in LOSSES:
        found: list = [None] * len(samples)
        rules[f"{loss:g}"] = []
        for fit in (halves, ~halves):
            known = [samples.inputs[i] for i in np.flatnonzero(fit)]
            readout = calibrate_early_exit(
                deployment, known, samples.labels[fit], names=10,
                window_us=args.window_us, loss=loss, seed=args.seed,
            )  # fmt: skip
            rules[f"{loss:g}"].append(asdict(readout.rule))
            with Session(TwinBackend(deployment), readout) as session:
                for i in np.flatnonzero(~fit):
                    found[i] = session.decide(windows_of(samples.inputs[i], args.window_us))
        rows.append(row(loss, found, samples.inputs, samples.labels, full))
        judged = found if loss == JUDGED_LOSS else judged
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    data = {
        "grade": "simulated",
        "recordings": len(samples),
        "time_steps": args.time_steps,
        "phi": PHI,
        "window_us": args.window_us,
        "seed": args.seed,
        "rows": rows,
        "rules": rules,
    }
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    figure(rows, judged, samples.inputs, args.figure)
    print("\n" + table(rows))


if __name__ == "__main__":
    main()
