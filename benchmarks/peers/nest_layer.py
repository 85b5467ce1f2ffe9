"""One layer in NEST, run by `compare_simulators.py` in NEST's own environment.

Reads `source, target, weight` of every synapse and `neuron, step` of every input spike from the
npz given, prints one JSON line. `iaf_psc_delta` without leak, reset to zero, one thread; the state
is float64 and the spikes of one time step are summed before the threshold is compared.
"""

from __future__ import annotations

import json
import sys
import time

import nest
import numpy as np


def main() -> None:
    with np.load(sys.argv[1]) as archive:
        data = {key: archive[key] for key in archive.files}
    nest.set_verbosity("M_ERROR")
    step_ms, steps = 0.1, int(data["steps"])
    nest.SetKernelStatus({"resolution": step_ms, "local_num_threads": 1})
    neuron = {
        "tau_m": 1e12,
        "E_L": 0.0,
        "V_m": 0.0,
        "V_reset": 0.0,
        "t_ref": 0.0,
        "V_th": float(data["threshold"]),
        "V_min": float(data["low"]),
    }
    start = time.perf_counter()
    layer = nest.Create("iaf_psc_delta", int(data["outputs"]), params=neuron)
    inputs = nest.Create("parrot_neuron", int(data["inputs"]))
    devices = nest.Create("spike_generator", int(data["inputs"]))
    for index in np.unique(data["neuron"]):
        times = (data["step"][data["neuron"] == index] + 1) * step_ms
        devices[int(index)].spike_times = np.round(times, 6).tolist()
    nest.Connect(devices, inputs, "one_to_one", {"delay": step_ms})
    nest.Connect(
        data["source"] + inputs[0].global_id,
        data["target"] + layer[0].global_id,
        "one_to_one",
        {
            "weight": data["weight"].astype(float),
            "delay": np.full(len(data["weight"]), step_ms),
            "synapse_model": "static_synapse",
        },
    )
    built_s = time.perf_counter() - start
    nest.Prepare()
    seconds, cpu_s = time.perf_counter(), time.process_time()
    nest.Run((steps + 10) * step_ms)
    seconds, cpu_s = time.perf_counter() - seconds, time.process_time() - cpu_s
    nest.Cleanup()  # the counter below includes what the parrots pass on
    print(
        json.dumps(
            {
                "simulator": f"NEST {nest.__version__}",
                "seconds": seconds,
                "cpu_s": cpu_s,
                "build_s": built_s,
                "spikes": int(nest.GetKernelStatus("local_spike_counter")) - len(data["neuron"]),
            }
        )
    )


if __name__ == "__main__":
    main()
