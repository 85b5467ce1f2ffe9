"""Watch a network decide: events in, spikes and confidence out, window by window.

    python examples/05_stream.py

On a terminal this is a live view. Writes replay.gif. The same from the command line:
`speck-adacal stream digits:3 --bundle digits.bundle --save-html replay.html`.
"""

import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from speck_adacal import (
    RecordedSession,
    Session,
    ThresholdThenArgmax,
    TwinBackend,
    adapt,
    demo_checkpoint_path,
    deploy,
    load_demo_digits,
    load_network,
    moment_line,
    open_source,
    render_moment,
    save,
    windows_of,
    write_gif,
)

digits = load_demo_digits()
network = load_network(demo_checkpoint_path())
adapted = adapt(network, digits.calibration_images[:128], input_shape=(1, 28, 28))
deployment = deploy(adapted)
save(deployment, "digits.bundle", force=True)

source = open_source("digits:3", (1, 28, 28))
readout = ThresholdThenArgmax(10, threshold=12)
console = Console()
backend, moments = TwinBackend(deployment), []
with Session(backend, readout) as session:
    coming = session.watch(windows_of(source.events, 500))
    if sys.stdout.isatty():
        with Live(console=console, auto_refresh=False) as live:
            for moment in coming:
                moments.append(moment)
                live.update(render_moment(moment, source.events, readout.names), refresh=True)
                time.sleep(0.2)
    else:
        for moment in coming:
            moments.append(moment)
            console.print(moment_line(moment, readout.names))

recorded = RecordedSession(
    source, readout.names, readout.class_of, tuple(moments), backend.name, backend.grade
)
write_gif(recorded, Path("replay.gif"), force=True)
decision = recorded.decision
print(f"decided {decision.name} (it is {source.label}) with {decision.events} events")
