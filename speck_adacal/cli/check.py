"""`speck-adacal check`: would a network fit the chip, before or after training?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.cli import common, early, waiting, wiring_options

if TYPE_CHECKING:
    from speck_adacal.chip.check import CheckResult

NAME = "check"
EXAMPLE = (
    "Examples: speck-adacal check --arch my_module:make_net --input-shape 1,28,28; "
    "speck-adacal check --explain neuron-memory"
)


def command(
    input_shape: Annotated[
        str | None,
        typer.Option("--input-shape", help="Such as 1,28,28; a NIR file says it itself."),
    ] = None,
    arch: Annotated[
        str | None, typer.Option("--arch", help="A reference architecture, or module:callable.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Weights; not needed, shapes are enough.")
    ] = None,
    explain_rule: Annotated[
        str | None,
        typer.Option("--explain", help="Explain a design rule by its id instead, or all."),
    ] = None,
    source: wiring_options.Source = "host",
    origin: wiring_options.Origin = None,
    pooling: wiring_options.Pooling = None,
    mirror: wiring_options.Mirror = "",
    polarities: wiring_options.Polarities = "fit",
    noise_filter: wiring_options.NoiseFilter = "off",
    readout: wiring_options.Readout = "host",
    readout_window: wiring_options.ReadoutWindow = 1,
    readout_threshold: wiring_options.ReadoutThreshold = 0,
    chip: common.Chip = DEFAULT_CHIP,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Check a network against the chip's design rules; exit code 3 where one is violated.

    With `--input sensor` and `--readout chip` also what stands around it, as `deploy` takes it.
    """
    if explain_rule is not None:
        _explain(explain_rule, chip, as_json=as_json, quiet=quiet)
        return

    from speck_adacal.errors import SettingsError

    if model is None and arch is None:
        raise SettingsError("check needs a network: give --arch, --model, or both.")
    if model is None and input_shape is None:
        raise SettingsError("check needs --input-shape, such as 1,28,28.")
    asked = wiring_options.Asked(
        *(source, origin, pooling, mirror, polarities, noise_filter),
        *(readout, readout_window, readout_threshold, None, None),
    )
    early.need_file(model, "--model")
    shape = common.parse_shape(input_shape) if input_shape else None
    hushed = quiet or as_json
    with common.calm_libraries(quiet=quiet), waiting.counting("Checking", quiet=hushed) as count:
        count(0, 0, waiting.LOADING)
        wiring = wiring_options.wiring_of(asked)
        import speck_adacal
        from speck_adacal.ann.checkpoint import build_architecture
        from speck_adacal.ann.spiking.files import load_spiking
        from speck_adacal.reporting.tables import check_table

        if model is None:
            network = build_architecture(str(arch))
        else:
            network, shape = load_spiking(model, arch, shape)
        result = speck_adacal.check(network, input_shape=shape or (), chip=chip, wiring=wiring)
    common.show(_told(result, chip), check_table(result), as_json=as_json, quiet=quiet)
    if result.errors:
        raise typer.Exit(3)


def _told(result: CheckResult, chip: str) -> dict[str, object]:
    return {
        "chip": chip,
        "fits": not result.errors,
        "layers": [
            {
                "name": layer.shape.name,
                "kernel_words": layer.shape.kernel_words,
                "neuron_words": layer.shape.neuron_words,
                "cores": list(layer.cores),
            }
            for layer in result.layers
        ],
        "rewritings": [asdict(planned) for planned in result.rewritings],
        "violations": [asdict(violation) for violation in result.violations],
        "smallest_change": None if result.change is None else result.change.text,
    }


def _explain(rule: str, chip: str, *, as_json: bool, quiet: bool) -> None:
    from speck_adacal.reporting.tables import explanation_view
    from speck_adacal.rules.rule_book import explain, rule_ids

    found = [explain(name, chip=chip) for name in (rule_ids() if rule == "all" else (rule,))]
    results = {"chip": chip, "rules": [asdict(explanation) for explanation in found]}
    common.show(results, explanation_view(found), as_json=as_json, quiet=quiet)
