"""One layer in Brian 2, run by `compare_simulators.py` in Brian's own environment.

Reads and prints what `nest_layer.py` does. Runtime mode with Cython; float64 states, reset to
zero; the spikes of one time step are summed before the threshold is compared.
"""

from __future__ import annotations

import json
import sys
import time

import brian2 as b2
import numpy as np


def main() -> None:
    with np.load(sys.argv[1]) as archive:
        data = {key: archive[key] for key in archive.files}
    b2.BrianLogger.suppress_hierarchy("brian2")
    step = 0.1 * b2.ms
    b2.defaultclock.dt = step
    start = time.perf_counter()
    inputs = b2.SpikeGeneratorGroup(int(data["inputs"]), data["neuron"], data["step"] * step)
    layer = b2.NeuronGroup(
        int(data["outputs"]), "v : 1", threshold=f"v >= {int(data['threshold'])}", reset="v = 0"
    )
    synapses = b2.Synapses(
        inputs, layer, "w : 1", on_pre=f"v_post = clip(v_post + w, {int(data['low'])}, 32767)"
    )
    synapses.connect(i=data["source"], j=data["target"])
    synapses.w = data["weight"]
    monitor = b2.SpikeMonitor(layer, record=False)
    network = b2.Network(inputs, layer, synapses, monitor)
    network.store()
    network.run(step)  # compiles
    network.restore()
    built_s = time.perf_counter() - start
    seconds, cpu_s = time.perf_counter(), time.process_time()
    network.run((int(data["steps"]) + 10) * step)
    seconds, cpu_s = time.perf_counter() - seconds, time.process_time() - cpu_s
    print(
        json.dumps(
            {
                "simulator": f"Brian {b2.__version__} ({b2.prefs.codegen.target})",
                "seconds": seconds,
                "cpu_s": cpu_s,
                "build_s": built_s,
                "spikes": int(monitor.num_spikes),
            }
        )
    )


if __name__ == "__main__":
    main()
