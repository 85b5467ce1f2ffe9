"""`speck-adacal front`: accuracy against SynOps on the chip, searched with the twin in the loop."""

from __future__ import annotations

from dataclasses import asdict

from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.cli import common, early, waiting
from speck_adacal.cli import front_options as options

NAME = "front"
EXAMPLE = (
    "Example: speck-adacal front digits.adapted --samples-from digits.npz --samples 0:300 "
    "--figure front.svg --max-synops 800000 --out digits.bundle"
)


def command(
    bundle: options.Bundle,
    calibration: options.Calibration,
    samples: options.Samples = "500",
    max_synops: options.MaxSynops = None,
    min_accuracy: options.MinAccuracy = None,
    out: options.Out = None,
    figure: options.Figure = None,
    points: options.Points = 12,
    time_steps: options.TimeSteps = None,
    input_bursts: options.InputBursts = None,
    chip: common.Chip = DEFAULT_CHIP,
    jobs: common.Jobs = 1,
    dask: common.Dask = None,
    as_json: common.Json = False,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Search the Pareto front of accuracy and SynOps on the chip twin; no training.

    Thresholds and initial potentials change, and weights of linear layers that `adapt` fitted on
    the twin: they are fitted again, to other samples than those that choose. The first row is the
    network as it came. Some samples are searched on, others choose the point, and others again
    measure it.
    """
    early.refuse_early(out, force=force, bundle=True)
    early.refuse_early(figure, force=force)
    early.need_bundle(bundle, deployed=False)
    steps = common.parse_counts(time_steps, "--time-steps")
    bursts = common.parse_counts(input_bursts, "--input-bursts")
    counting = waiting.counting("Searching the front", quiet=quiet or as_json)
    with common.calm_libraries(quiet=quiet), counting as count, common.spread(jobs, dask):
        data = early.samples_of(calibration, samples)
        count(0, 0, waiting.LOADING)
        import speck_adacal
        from speck_adacal.reporting.front_files import FRONT, front_to_bytes
        from speck_adacal.reporting.front_table import front_outcome

        settings = speck_adacal.FrontSettings(
            points=points, seed=seed, time_steps=steps, input_bursts=bursts
        )
        loaded = speck_adacal.load(bundle)
        adapted = loaded.adapted if isinstance(loaded, speck_adacal.Deployment) else loaded
        front = speck_adacal.front(
            adapted, data.inputs, data.labels, settings=settings, chip=chip, progress=count
        )
        stepped = speck_adacal.front_in_steps(adapted, front, data.inputs, data.labels)
        chosen = front.choose(max_synops=max_synops, min_accuracy=min_accuracy)
        change = speck_adacal.before_and_after(adapted, front, chosen, data.inputs)
        if out is not None:
            under = speck_adacal.with_front_point(adapted, chosen)
            unseen = front.held_out_indices
            network = speck_adacal.judged(
                under, data.inputs, data.labels, held_out=unseen, chip=chip
            )
            deployment = speck_adacal.deploy(network, chip=chip)
            extra = {FRONT: front_to_bytes(front, chosen)}
            command_line = common.command_line()
            speck_adacal.save(deployment, out, command=command_line, force=force, extra=extra)
        if figure is not None:
            speck_adacal.save_front_figure(front, stepped, figure, force=force)
    results = {
        **front.to_dict(),
        "time_stepped": [asdict(estimate) for estimate in stepped],
        "target": "reference decisions" if data.labels is None else "labels",
        "chosen": chosen.to_dict(),
        "before_after": asdict(change),
        "bundle": None if out is None else str(out),
        "figure": None if figure is None else str(figure),
    }
    table = front_outcome(front, stepped, chosen, change, {"bundle": out, "figure": figure})
    common.show(results, table, as_json=as_json, quiet=quiet)
