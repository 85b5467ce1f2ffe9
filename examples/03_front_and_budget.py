"""What does accuracy cost? Settings side by side, their front, and the best within a budget.

    python examples/03_front_and_budget.py

Time steps T and burst limit φ trade SynOps for accuracy. Settings that another one beats in both
are not on the front. Calibrated on shipped training digits, measured on shipped test digits, on
the simulated chip.
"""

from speck_adacal import AdaptSettings, adapt, deploy, simulate
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.events.demo import demo_checkpoint_path, load_demo_digits

BUDGET_SYNOPS = 300_000

digits = load_demo_digits()
network = load_network(demo_checkpoint_path())
images, labels = digits.images[:100], digits.labels[:100]

points = []
for time_steps, phi in ((1, 2), (2, 1), (2, 2), (4, 2)):
    settings = AdaptSettings(time_steps=time_steps, phi=phi)
    calibration = digits.calibration_images[:64]
    adapted = adapt(network, calibration, input_shape=(1, 28, 28), settings=settings)
    simulation = simulate(deploy(adapted), images)
    points.append((simulation.synops.mean(), simulation.accuracy(labels), time_steps, phi))

best = 0.0
for synops, accuracy, time_steps, phi in sorted(points):
    on_front = accuracy > best
    best = max(best, accuracy)
    mark = "front" if on_front else "     "
    print(f"{mark}  T = {time_steps}, φ = {phi}: {accuracy:6.1%} for {synops:9,.0f} SynOps")

within = [point for point in points if point[0] <= BUDGET_SYNOPS]
synops, accuracy, time_steps, phi = max(within, key=lambda point: point[1])
print(f"within {BUDGET_SYNOPS:,} SynOps: T = {time_steps}, φ = {phi} with {accuracy:.1%}")
