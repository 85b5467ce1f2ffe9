"""A chip configuration as a NIR graph: what each core does, with the integers that it has.

Each core becomes `Conv2d` (its weights) and `IF` (its threshold), and each pooled destination a
`SumPool2d` on the way. The AdaFire neuron needs no node of its own here: on the chip it *is* an
integrate-and-fire neuron that subtracts its threshold, φ and ρ having gone into the integers.
NIR has no place for initial membrane potentials and lower bounds; they are kept as metadata of
the `IF` nodes (`initial`, int16 `[channel, y, x]`, and `threshold_low`).

The graph is built from `nir`'s own nodes and not by `sinabs.nir.to_nir`, whose graphs hold torch
shapes that `nir.write` cannot store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from speck_adacal.bundle import new_file
from speck_adacal.bundles.chip_configuration import ChipConfiguration
from speck_adacal.errors import ModelError

LEVEL = "integers of a Speck configuration; see docs/spec-bundle.md of speck_adacal"


def write_nir(configuration: ChipConfiguration, path: Path, *, force: bool = False) -> None:
    """Write a NIR file (HDF5).

    Raises:
        ModelError: something that a core does has no NIR node.
        OutputExistsError: `path` exists and `force` is False.
    """
    import nir

    graph = to_nir(configuration)
    with new_file(path, force=force) as temporary:
        nir.write(str(temporary), graph)


def to_nir(configuration: ChipConfiguration) -> Any:
    """The configuration as an `nir.NIRGraph` with one input and one output.

    Raises:
        ModelError: a core uses a channel shift, returns to zero, leaks, or decimates its output.
    """
    import nir

    first, readout = configuration.order[0], configuration.order[-1]
    nodes: dict[str, Any] = {
        "input": nir.Input(input_type={"input": np.array(configuration.input_shape)}),
        "output": nir.Output(output_type={"output": np.array(configuration.output_shape(readout))}),
    }
    edges = [("input", f"conv_{first}")]
    for core in configuration.order:
        _refuse_untold(configuration, core)
        nodes[f"conv_{core}"] = _convolution(configuration, core)
        nodes[f"neurons_{core}"] = _neurons(configuration, core)
        edges.append((f"conv_{core}", f"neurons_{core}"))
        for entry in configuration.cores[str(core)]["destinations"]:
            if entry["enable"]:
                edges += _way(nodes, core, entry)
    edges.append((f"neurons_{readout}", "output"))
    metadata = {"level": LEVEL, "chip": configuration.chip}
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata)


def _way(nodes: dict[str, Any], core: int, entry: dict[str, Any]) -> list[tuple[str, str]]:
    import nir

    source, target, edge = f"neurons_{core}", f"conv_{entry['layer']}", int(entry["pooling"])
    if edge == 1:
        return [(source, target)]
    pool = f"pool_{core}_{entry['layer']}"
    size = np.array([edge, edge])
    nodes[pool] = nir.SumPool2d(kernel_size=size, stride=size, padding=np.array([0, 0]))
    return [(source, pool), (pool, target)]


def _convolution(configuration: ChipConfiguration, core: int) -> Any:
    import nir

    dimensions = configuration.cores[str(core)]["dimensions"]
    _, height, width = dimensions["input_shape"]
    weights = np.swapaxes(configuration.tensor(core, "weights"), -1, -2).astype(np.float32)
    return nir.Conv2d(
        input_shape=(height, width),
        weight=np.ascontiguousarray(weights),
        stride=tuple(dimensions["stride"]),
        padding=tuple(dimensions["padding"]),
        dilation=(1, 1),
        groups=1,
        bias=np.zeros(len(weights), dtype=np.float32),
    )


def _neurons(configuration: ChipConfiguration, core: int) -> Any:
    import nir

    shape = configuration.output_shape(core)
    fields = configuration.cores[str(core)]
    initial = np.swapaxes(configuration.tensor(core, "neurons_initial_value"), -1, -2)
    return nir.IF(
        r=np.ones(shape, dtype=np.float32),
        v_threshold=np.full(shape, fields["threshold_high"], dtype=np.float32),
        metadata={
            "initial": np.ascontiguousarray(initial),
            "threshold_low": int(fields["threshold_low"]),
        },
    )


def _refuse_untold(configuration: ChipConfiguration, core: int) -> None:
    fields = configuration.cores[str(core)]
    found = [
        name
        for name in ("return_to_zero", "leak_enable", "output_decimator_enable")
        if fields[name]
    ]
    if any(e["enable"] and e["feature_shift"] for e in fields["destinations"]):
        found.append("feature_shift")
    if np.any(configuration.tensor(core, "biases")):
        found.append("biases")
    if found:
        raise ModelError(
            f"{configuration.label(core)} uses {', '.join(found)}, which no NIR node expresses; "
            "export it with --format json."
        )
