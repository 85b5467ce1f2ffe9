"""What does accuracy cost? The front of accuracy and SynOps, and the best point within a budget.

    python examples/03_front_and_budget.py

The search changes thresholds and initial potentials with the chip twin in the loop, no weights. It
sees shipped training digits; the chosen points are measured on shipped test digits. Writes
front.svg, with every point.
"""

from pathlib import Path

from speck_adacal import (
    AdaptSettings,
    FrontSettings,
    adapt,
    demo_checkpoint_path,
    deploy,
    front,
    front_in_steps,
    load_demo_digits,
    load_network,
    save_front_figure,
    simulate,
    with_front_point,
)

BUDGETS_SYNOPS = (350_000, 450_000, 600_000)

digits = load_demo_digits()
network = load_network(demo_checkpoint_path())
images, labels = digits.calibration_images[:100], digits.calibration_labels[:100]

settings = AdaptSettings(time_steps=4)
adapted = adapt(network, images, input_shape=(1, 28, 28), settings=settings)
search = FrontSettings(prices=(0.02, 0.1), rounds=2, points=6)  # short; the default finds more
found = front(adapted, images, labels, settings=search)
stepped = front_in_steps(adapted, found, images, labels)
save_front_figure(found, stepped, Path("front.svg"), force=True)

for budget in BUDGETS_SYNOPS:
    chosen = found.choose(max_synops=budget)
    simulation = simulate(deploy(with_front_point(adapted, chosen)), digits.images[:200])
    accuracy = simulation.accuracy(digits.labels[:200])
    print(f"within {budget:,} SynOps: {accuracy:.1%} of 200 test digits (simulated)")
