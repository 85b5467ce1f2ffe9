"""Where sinabs' time-stepped network and the chip twin differ.

`python benchmarks/compare_twin_sinabs.py` takes one network (the NIR paper's N-MNIST weights),
discretised by `DynapcnnNetwork`, and runs it step by step with sinabs at several step lengths and,
from the configuration that the same object writes for the chip, event by event with the twin. The
table gives spikes per layer and decisions; the lines below it change the twin's rules one at a
time, which says how much of the gap each could explain. Everything here is simulated. Needs the
data folder that docs/spec-twin.md names.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import sinabs.layers as sl
import torch
from sinabs.activation import MembraneSubtract, MultiSpike
from torch import nn

from speck_adacal.bundle import new_file
from speck_adacal.events.types import Events
from speck_adacal.twin import Assumptions, Twin
from speck_adacal.virtual_samna import ensure_samna

RESULTS = Path(__file__).resolve().parent / "results"
DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LENGTH_US = 320_000


def load(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / f"{name}.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def network(weights: dict[str, np.ndarray]) -> nn.Sequential:
    def conv(name: str, *settings: int) -> nn.Conv2d:
        array = torch.tensor(weights[name])
        layer = nn.Conv2d(array.shape[1], array.shape[0], *settings, bias=False)
        layer.weight.data = array
        return layer

    def linear(name: str) -> nn.Linear:
        array = torch.tensor(weights[name])
        layer = nn.Linear(array.shape[1], array.shape[0], bias=False)
        layer.weight.data = array
        return layer

    def spikes() -> sl.IAFSqueeze:
        return sl.IAFSqueeze(
            batch_size=1,
            spike_threshold=1.0,
            min_v_mem=-1.0,
            spike_fn=MultiSpike,
            reset_fn=MembraneSubtract(),
        )

    return nn.Sequential(
        conv("0.weight", 5, 2, 1),
        spikes(),
        conv("2.weight", 3, 1, 1),
        spikes(),
        sl.SumPool2d(2),
        conv("5.weight", 3, 1, 1),
        spikes(),
        sl.SumPool2d(2),
        nn.Flatten(),
        linear("9.weight"),
        spikes(),
        linear("11.weight"),
        spikes(),
    )


def time_stepped(chip_network, frames: np.ndarray) -> list[np.ndarray]:
    """Spike totals by layer, `[features, y, x]`, of sinabs' own run of the discretised network."""
    totals: dict[int, torch.Tensor] = {}
    handles = []
    for index, layer in chip_network.dynapcnn_layers.items():

        def keep(_module, _inputs, output, index=index):
            totals[int(index)] = totals.get(int(index), 0) + output.sum(0)

        handles.append(layer.spk_layer.register_forward_hook(keep))
    for layer in chip_network.dynapcnn_layers.values():
        layer.spk_layer.reset_states()
    with torch.no_grad():
        chip_network(torch.tensor(frames))
    for handle in handles:
        handle.remove()
    return [totals[i].numpy() for i in sorted(totals)]


def binned(events: Events, step_us: int) -> np.ndarray:
    """float32 `[steps, 2, 34, 34]` event counts."""
    frames = np.zeros((LENGTH_US // step_us, 2, 34, 34), dtype=np.float32)
    np.add.at(frames, (events.t_us // step_us, events.channel, events.y, events.x), 1)
    return frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--recordings", type=int, default=12)
    arguments = parser.parse_args()
    ensure_samna()
    from sinabs.backend.dynapcnn import DynapcnnNetwork

    torch.set_num_threads(1)
    snn = network(load(arguments.data, "nmnist_cnn_nir_paper"))
    chip_network = DynapcnnNetwork(
        snn, input_shape=(2, 34, 34), batch_size=1, dvs_input=False, discretize=True
    )
    config = chip_network.make_config(device="speck2fdevkit:0")
    cores = [chip_network.layer2core_map[i] for i in sorted(chip_network.dynapcnn_layers)]
    archive = load(arguments.data, "nmnist_train1000")
    recordings, labels = [], archive["labels"][: arguments.recordings]
    for a, b in zip(
        archive["offsets"][: arguments.recordings], archive["offsets"][1:], strict=False
    ):
        fields = (archive[k][a:b] for k in "txyp")
        t, x, y, p = (np.asarray(v, dtype=np.int64) for v in fields)
        recordings.append(Events(t, x, y, p, (2, 34, 34), LENGTH_US - 1))

    rows: list[dict[str, object]] = []

    def report(
        name: str, spikes: np.ndarray, decisions: np.ndarray, base: np.ndarray | None = None
    ) -> None:
        some = len(decisions)
        row = {
            "run": name,
            "recordings": some,
            "ratios": (np.asarray(spikes) / (twin_spikes if base is None else base)).tolist(),
            "accuracy": float(np.mean(decisions == labels[:some])),
            "agreement": float(np.mean(decisions == reference[:some])),
        }
        rows.append(row)
        ratio = " ".join(f"{r:7.3f}" for r in row["ratios"])
        print(f"{name:44s} {ratio}   {row['accuracy']:8.1%}   {row['agreement']:6.1%}")

    def run_twin(**change) -> tuple[np.ndarray, np.ndarray]:
        twin = Twin.from_configuration(config, assumptions=Assumptions(**change))
        runs = twin.run_many(recordings)
        spikes = np.mean([run.spikes_per_core[cores] for run in runs], axis=0)
        return spikes, np.array([run.output.counts().argmax() for run in runs])

    twin_spikes, reference = run_twin()
    print("spikes relative to the twin, layer by layer; accuracy; decisions as the twin's")
    print("twin, spikes a recording:          " + " ".join(f"{n:7.0f}" for n in twin_spikes))
    report("twin", twin_spikes, reference)
    for step_us in (10_000, 1_000, 100):
        found, decided = [], []
        for events in recordings if step_us >= 1000 else recordings[:4]:
            totals = time_stepped(chip_network, binned(events, step_us))
            found.append([total.sum() for total in totals])
            decided.append(totals[-1].sum((-1, -2)).argmax())
        some = [Twin.from_configuration(config).run(e) for e in recordings[: len(decided)]]
        base = np.mean([run.spikes_per_core[cores] for run in some], axis=0)
        report(f"sinabs, {step_us} µs a step", np.mean(found, axis=0), np.array(decided), base)
    print("the twin with one rule changed:")
    many = {"spikes_per_event": 64, "parallel_spikes_per_event": 64}
    report("twin, all spikes an event is worth", *run_twin(**many))
    report("twin, spikes of an event backwards", *run_twin(spike_order="reversed"))
    program = Twin.from_configuration(config).program
    opened = {i: replace(c, threshold_low=-32768) for i, c in program.cores.items()}
    runs = Twin(replace(program, cores=opened)).run_many(recordings)
    open_spikes = np.mean([run.spikes_per_core[cores] for run in runs], axis=0)
    decided = np.array([run.output.counts().argmax() for run in runs])
    report("twin, no lower threshold", open_spikes, decided)
    shuffled = []
    rng = np.random.default_rng(0)
    for events in recordings:
        order = np.argsort(events.t_us // 1000 + rng.random(len(events)))
        fields = (v[order] for v in (events.x, events.y, events.channel))
        shuffled.append(Events(events.t_us, *fields, events.shape, events.duration_us))
    runs = Twin.from_configuration(config).run_many(shuffled)
    report(
        "twin, events shuffled within 1 ms",
        np.mean([run.spikes_per_core[cores] for run in runs], axis=0),
        np.array([run.output.counts().argmax() for run in runs]),
    )
    for layer in chip_network.dynapcnn_layers.values():
        layer.spk_layer.min_v_mem = None
    totals = [time_stepped(chip_network, binned(events, 1000)) for events in recordings]
    found = np.mean([[total.sum() for total in each] for each in totals], axis=0)
    choices = np.array([each[-1].sum((-1, -2)).argmax() for each in totals])
    report("no lower threshold in both, sinabs, 1000 µs a step", found, choices, open_spikes)
    result = {
        "command": "python benchmarks/compare_twin_sinabs.py",
        "twin_spikes": twin_spikes.tolist(),
        "rows": rows,
    }
    with new_file(RESULTS / "twin_sinabs.json", force=True) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
