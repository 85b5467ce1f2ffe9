"""A layer graph with spiking activations, run over time steps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from speck_adacal.ann.graph import SPIKING, Kind, LayerGraph, Node
from speck_adacal.ann.modules import Add, Rectifier
from speck_adacal.errors import CalibrationError, ModelError
from speck_adacal.recipe.recipe import LayerRecipe, Recipe
from speck_adacal.snn.adafire import AdaFire
from speck_adacal.snn.running_totals import RunningTotals
from speck_adacal.snn.spike_counts import Tallies
from speck_adacal.snn.step_bias import StepBiasedOutput
from speck_adacal.snn.synops import fan_out

V = TypeVar("V")
Layers = Recipe | Mapping[str, LayerRecipe]  # by the name of an activation
Value = tuple[torch.Tensor, bool]  # `[batch, time, ...]`; or `[batch, 1, ...]` and True: constant


@dataclass(frozen=True, eq=False)
class Activity:
    """What one spiking layer did.

    Attributes:
        spikes: with their multiplicity, float64 `[batch, time]`.
        synops: caused in the layers that read it, the same shape; None unless counted.
    """

    spikes: torch.Tensor
    synops: torch.Tensor | None


def repeat_in_time(x: torch.Tensor, time_steps: int) -> torch.Tensor:
    """`[batch, *shape]` as `[batch, time_steps, *shape]`, the same at every step (no copy)."""
    return x.unsqueeze(1).expand(x.shape[0], time_steps, *x.shape[1:])


class SpikingNetwork(nn.Module):
    """The spiking form of a layer graph (level `snn`): AdaFire neurons for the rectifiers.

    Layers with weights, pools and sums run per step on the neurons' amplitudes, so that the mean
    over time of every value estimates the ANN's; what is not linear runs on running totals.
    Output layers without a rectifier do not spike: their values per step are the output.

    Args:
        graph: the traced (and corrected) network; its modules are shared, not copied.
        recipe: `recipe[name]` gives φ, ρ, threshold and initial potential of each activation
            (a `Recipe`, or a mapping of names to `LayerRecipe`).

    Shape:
        `[batch, time, *input_shape]` to `[batch, time, *output]`; a tuple of these where the
        network has several outputs.
    """

    def __init__(self, graph: LayerGraph, recipe: Layers) -> None:
        super().__init__()
        self.graph = graph
        self.layers = nn.ModuleDict()
        self._activity: dict[str, Activity] = {}
        self.fan_out: dict[str, torch.Tensor] = {}
        self.tallies = Tallies()
        for node in graph.nodes[1:]:
            self.layers[key(node.name)] = _spiking_module(node, recipe)
        self.sole_readers = graph.sole_readers()

    def layer(self, name: str) -> nn.Module:
        """The module that runs node `name`."""
        return self.layers[key(name)]

    @property
    def spiking_names(self) -> tuple[str, ...]:
        """Names of the spiking nodes, in order."""
        return tuple(n.name for n in self.graph.of_kind(*SPIKING))

    def reset(self, nodes: Iterable[Node] | None = None) -> None:
        """Membrane potentials (of `nodes`, or all) back to their initial values."""
        for node in self.graph.nodes[1:] if nodes is None else nodes:
            module = self.layer(node.name)
            if isinstance(module, AdaFire | RunningTotals | StepBiasedOutput):
                module.reset_states()

    def forward(self, x: torch.Tensor, *, reset: bool = True) -> Any:
        """Run all steps of `x`; without `reset` the potentials carry on from the last call."""
        return self._outputs(self.run(x, reset=reset))

    def run(
        self,
        x: torch.Tensor,
        *,
        time_steps: int | None = None,
        reset: bool = True,
        keep: Collection[str] = (),
    ) -> dict[str, torch.Tensor]:
        """Values of the outputs and of `keep`, `[batch, time, *shape]` by node name.

        With `time_steps` the one step of `x` is held for so many; layers before a spike run once.
        """
        self._check(x)
        if reset:
            self.reset()
        constant = time_steps is not None
        steps = time_steps if time_steps is not None else x.shape[1]
        values: dict[str, Value] = {self.graph.nodes[0].name: (x, constant)}
        self._activity = {}
        wanted = {*self.graph.outputs, *keep}
        run_nodes(self, self.graph.nodes[1:], values, steps, wanted)
        return {n: full(values[n], steps) for n in self.graph.names if n in wanted}

    def count_synops(self) -> None:
        """From now on count SynOps too (the fan-outs are worked out once)."""
        self.fan_out = fan_out(self.graph)

    def activity(self) -> dict[str, Activity]:
        """Spikes, and SynOps if asked for, of each spiking layer in the last run."""
        return dict(self._activity)

    def spike_counts(self) -> dict[str, torch.Tensor]:
        """Spikes per sample (with their multiplicity) in the last run, float64 `[batch]` each."""
        return {name: found.spikes.sum(1) for name, found in self._activity.items()}

    def _check(self, x: torch.Tensor) -> None:
        if tuple(x.shape[2:]) != self.graph.input_shape or x.shape[0] < 1 or x.shape[1] < 1:
            raise CalibrationError(
                f"The spiking network takes [batch, time, {self.graph.input_shape}], "
                f"found {tuple(x.shape)}; give inputs of the traced shape, one frame a step."
            )

    def _outputs(self, values: dict[str, torch.Tensor]) -> Any:
        outputs = tuple(values[name] for name in self.graph.outputs)
        return outputs[0] if len(outputs) == 1 else outputs


def run_nodes(
    network: SpikingNetwork,
    nodes: Iterable[Node],
    values: dict[str, Value],
    steps: int,
    wanted: Collection[str],
) -> None:
    """Run `nodes` in order on `values` (changed), freeing what no later node reads."""

    def run(node: Node, inputs: list[Value], spare: bool) -> Value:
        return _run_node(network, node, inputs, steps, spare)

    run_in_order(nodes, values, wanted, network.sole_readers, run)


def run_in_order(
    nodes: Iterable[Node],
    values: dict[str, V],
    wanted: Collection[str],
    sole_readers: Collection[str],
    run: Callable[[Node, list[V], bool], V],
) -> None:
    """Work out the values of `nodes`; `run` is told where the first input may be overwritten.

    Args:
        nodes: in order.
        values: by node name; changed, what no later node reads is forgotten.
        wanted: names that are kept.
        sole_readers: nodes whose first input only they read (`LayerGraph.sole_readers`).
        run: a node, its inputs, and whether nobody else needs the first of them.
    """
    nodes = tuple(nodes)
    last = {name: node.name for node in nodes for name in node.inputs}
    made: set[str] = set()
    for node in nodes:
        inputs, first = [values[name] for name in node.inputs], node.inputs[0]
        spare = node.name in sole_readers and first in made and first not in wanted
        made.add(node.name)
        values[node.name] = run(node, inputs, spare)
        for name in set(node.inputs):
            if last[name] == node.name and name not in wanted:
                del values[name]


def full(value: Value, steps: int) -> torch.Tensor:
    """A value with its whole time axis."""
    tensor, constant = value
    return tensor.expand(tensor.shape[0], steps, *tensor.shape[2:]) if constant else tensor


def key(name: str) -> str:
    """A node name as a module name, where dots are not allowed."""
    return name.replace(".", "/")


def _run_node(
    network: SpikingNetwork, node: Node, inputs: list[Value], steps: int, spare: bool = False
) -> Value:
    """Run one node; `spare` says that nobody else reads its input, which may be overwritten."""
    module = network.layer(node.name)
    if isinstance(module, AdaFire):
        current, constant = inputs[0]
        reuse = spare and not constant
        fans = network.fan_out.get(node.name)
        tally = network.tallies.empty(node.name, current, steps, fans)
        spikes = module.run(current, steps, out=current if reuse else None, tally=tally)
        counted, caused = torch.from_numpy(tally.spikes), torch.from_numpy(tally.synops)
        network._activity[node.name] = Activity(counted, None if fans is None else caused)
        return spikes, False
    if isinstance(module, RunningTotals) and not all(constant for _, constant in inputs):
        return module(*(full(value, steps) for value in inputs)), False
    if isinstance(module, StepBiasedOutput):
        value, constant = _run_plain_node(module.module, inputs, steps, spare)
        return module(full((value, constant), steps)), False
    plain = node.module if isinstance(module, RunningTotals) else module
    return _run_plain_node(plain, inputs, steps, spare)  # type: ignore[arg-type]


def _run_plain_node(plain: nn.Module, inputs: list[Value], steps: int, spare: bool) -> Value:
    """A module without neurons; once where all its inputs are constant."""
    constant = all(c for _, c in inputs)
    tensors = [t if constant else full((t, c), steps) for t, c in inputs]
    batch, length = tensors[0].shape[:2]
    frames = [t.flatten(0, 1) for t in tensors]
    return run_plain(plain, frames, spare).unflatten(0, (batch, length)), constant


def run_plain(module: nn.Module, inputs: Sequence[torch.Tensor], spare: bool) -> torch.Tensor:
    """`module(*inputs)` for a module without neurons.

    Args:
        module: of a layer graph.
        inputs: `[frames, *shape]` each.
        spare: whether nobody else reads the first of them, which may then be overwritten.
    """
    if spare and isinstance(module, Rectifier):
        return module.into_first(inputs)
    if spare and isinstance(module, Add) and module.fits_into_first(inputs):
        return module.into_first(inputs)
    output: torch.Tensor = module(*inputs)
    return output


def _spiking_module(node: Node, recipe: Layers) -> nn.Module:
    if node.module is None:
        raise ModelError(f"Node {node.name!r} has no module to run.")
    if node.kind is Kind.MAX_POOL:
        return RunningTotals(node.module, homogeneous=True)
    if node.kind is Kind.FUNCTION:
        return RunningTotals(node.module)
    if node.kind in SPIKING:
        return spiking_neuron(recipe[node.name])
    layers = recipe.layers if isinstance(recipe, Recipe) else recipe.values()
    for layer in layers:
        if layer.name == node.name and layer.step_bias is not None:
            return StepBiasedOutput(node.module, torch.as_tensor(layer.step_bias))
    return node.module


def spiking_neuron(layer: LayerRecipe) -> AdaFire:
    """The neurons of a layer of a recipe."""
    lowest = layer.lowest_potential
    return AdaFire(
        torch.as_tensor(layer.threshold),
        phi=layer.phi,
        rho=layer.rho,
        initial_potential=torch.as_tensor(layer.initial_potential),
        min_v_mem=None if lowest is None else torch.as_tensor(lowest),
        step_bias=None if layer.step_bias is None else torch.as_tensor(layer.step_bias),
        signed=layer.signed,
    )
