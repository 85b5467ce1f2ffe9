"""What does accuracy cost? The front of accuracy and SynOps, and the best point within a budget.

    python examples/03_front_and_budget.py

The search changes thresholds and initial potentials with the chip twin in the loop, no weights. It
sees shipped training digits; the chosen points are measured on shipped test digits. Writes
front.svg, with every point.
"""

from pathlib import Path

from speck_adacal import AdaptSettings, adapt, deploy, simulate
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.datasets.demo import demo_checkpoint_path, load_demo_digits
from speck_adacal.reporting.front_table import save_front_figure
from speck_adacal.twin_search.search import FrontSettings
from speck_adacal.verbs import front_in_steps, pareto_front, with_front_point

BUDGETS_SYNOPS = (350_000, 450_000, 600_000)

digits = load_demo_digits()
network = load_network(demo_checkpoint_path())
images, labels = digits.calibration_images[:100], digits.calibration_labels[:100]

settings = AdaptSettings(time_steps=4)
adapted = adapt(network, images, input_shape=(1, 28, 28), settings=settings)
search = FrontSettings(prices=(0.02, 0.1), rounds=2, points=6)  # short; the default finds more
front = pareto_front(adapted, images, labels, settings=search)
stepped = front_in_steps(adapted, front, images, labels)
save_front_figure(front, stepped, Path("front.svg"), force=True)

for budget in BUDGETS_SYNOPS:
    chosen = front.choose(max_synops=budget)
    simulation = simulate(deploy(with_front_point(adapted, chosen)), digits.images[:200])
    accuracy = simulation.accuracy(digits.labels[:200])
    print(f"within {budget:,} SynOps: {accuracy:.1%} of 200 test digits (simulated)")
