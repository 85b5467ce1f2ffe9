"""`virtual run` and `devices`: any samna program, its own arguments and exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest

from speck_adacal.errors import SettingsError
from speck_adacal.virtual_samna import parse_boards

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
CALL = """
import sys
import typer
from speck_adacal.cli import devices, virtual
from speck_adacal.errors import SpeckAdacalError
app = typer.Typer(pretty_exceptions_enable=False)
app.add_typer(virtual.app, name=virtual.NAME)
app.command(name=devices.NAME)(devices.command)
try:
    app(sys.argv[1:])
except SpeckAdacalError as error:
    sys.stderr.write(f"{type(error).__name__}: {error}")
    sys.exit(error.exit_code)
"""


def call(*arguments: str, cwd: str = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    full = {k: v for k, v in os.environ.items() if not k.startswith("SPECK_ADACAL")}
    full["PYTHONPATH"] = os.pathsep.join(p for p in (ROOT, full.get("PYTHONPATH", "")) if p)
    full.update(env)
    command = [sys.executable, "-c", CALL, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=full, check=False, cwd=cwd, timeout=120
    )


def test_a_script_sees_itself_and_the_virtual_samna(tmp_path):
    (tmp_path / "helper.py").write_text("VALUE = 5\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, samna, helper\n"
        "print(__name__, sys.argv[1:], helper.VALUE)\n"
        "print([d.device_type_name for d in samna.device.get_all_devices()])\n"
        "sys.exit(7)\n"
    )
    result = call("virtual", "run", "--boards", "speck2e:2", str(script), "--fast", "-m", "x")
    assert result.returncode == 7, result.stderr
    assert result.stdout.splitlines() == [
        "__main__ ['--fast', '-m', 'x'] 5",
        "['Speck2eTestBoard', 'Speck2eTestBoard']",
    ]
    assert "samna: virtual" in result.stderr


def test_a_module_with_a_multiprocessing_child(tmp_path):
    (tmp_path / "program.py").write_text(
        "import multiprocessing, samna\n"
        "def child(queue):\n"
        "    import samna\n"
        "    assert samna.device.get_opened_devices() == []\n"
        "    samna.device.close_device(samna.device.open_device('Speck2fDevKit:0'))\n"
        "    queue.put(samna.__version__)\n"
        "if __name__ == '__main__':\n"
        "    board = samna.device.open_device('Speck2fDevKit:0')\n"
        "    context = multiprocessing.get_context('fork')\n"
        "    queue = context.Queue()\n"
        "    process = context.Process(target=child, args=(queue,))\n"
        "    process.start(); print(queue.get(timeout=60)); process.join()\n"
    )
    result = call("virtual", "run", "-m", "program", cwd=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "0.48.6+virtual"


def test_new_interpreters_find_the_virtual_samna_too(tmp_path):
    """Spawned children and sub-processes: never PyPI's stub, which would run pip."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import multiprocessing, subprocess, sys\n"
        "import samna\n"
        "def child(queue):\n"
        "    import samnagui, samna.speck2f.event\n"
        "    queue.put((samna.__version__, samnagui.run_visualizer.__name__))\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    queue = context.Queue()\n"
        "    process = context.Process(target=child, args=(queue,))\n"
        "    process.start(); print(*queue.get(timeout=60)); process.join()\n"
        "    code = 'import samnagui, samna; print(samna.SPECK_ADACAL_VIRTUAL)'\n"
        "    print(subprocess.run([sys.executable, '-c', code], capture_output=True,\n"
        "          text=True).stdout.strip())\n"
    )
    result = call("virtual", "run", str(script))
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["0.48.6+virtual run_visualizer", "True"]


def test_a_program_that_leaves_everything_open_ends_cleanly(tmp_path):
    script = tmp_path / "careless.py"
    script.write_text(
        "import multiprocessing, samna, samnagui, socket\n"
        "board = samna.device.open_device('Speck2fDevKit')\n"
        "graph = samna.graph.EventFilterGraph()\n"
        "with socket.create_server(('127.0.0.1', 0)) as probe:\n"
        "    end = f'tcp://0.0.0.0:{probe.getsockname()[1]}'\n"
        "gui = multiprocessing.get_context('fork').Process(\n"
        "    target=samnagui.run_visualizer, args=(end, 0.5, 0.5))\n"
        "gui.start()\n"
        "_, _, streamer = graph.sequential([board.get_model_source_node(),\n"
        "    'Speck2fDvsToVizConverter', 'VizEventStreamer'])\n"
        "streamer.set_streamer_endpoint(end)\n"
        "assert streamer.wait_for_receiver_count() == 1\n"
        "graph.start()\n"
        "board.get_power_monitor().start_auto_power_measurement(100)\n"
        "print('end')\n"
    )
    result = call("virtual", "run", str(script))
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "end"
    assert "Traceback" not in result.stderr


def test_the_programs_own_failure_keeps_its_traceback(tmp_path):
    script = tmp_path / "broken.py"
    script.write_text("import samna\nsamna.device.open_device('Speck2fDevKit:5')\n")
    result = call("virtual", "run", str(script))
    assert result.returncode == 1
    assert "broken.py" in result.stderr
    assert "There is no board 'Speck2fDevKit:5' to open" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "env", "message"),
    [
        (["nothing.py"], {}, "There is no script 'nothing.py'"),
        (["-m", "no.such.module"], {}, "There is no module 'no.such.module'"),
        (["--boards", "speck9", "x.py"], {}, "names the board 'speck9', allowed is one of"),
        (["x.py"], {"SPECK_ADACAL_SAMNA": "real"}, "forbids the virtual samna"),
        (["x.py"], {"SPECK_ADACAL_VIRTUAL_TIME": "slow"}, "allowed is real or fast"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_sentence(arguments, env, message):
    result = call("virtual", "run", *arguments, **env)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_devices_as_json():
    result = call("devices", "--json", SPECK_ADACAL_VIRTUAL="speck2fmodule:2,speck2edevkit")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["samna"]["kind"] == "virtual"
    assert [d["name"] for d in found["devices"]] == [
        "speck2edevkit:0",
        "speck2fmodule:0",
        "speck2fmodule:1",
    ]
    assert "none" in call("devices", SPECK_ADACAL_VIRTUAL="none").stdout


def test_board_declarations():
    assert [b.type_name for b in parse_boards("Speck2fDevKit, speck2e:0 ,speck2fmodule:2")] == [
        "Speck2fDevKit",
        "Speck2fModuleDevKit",
        "Speck2fModuleDevKit",
        "Speck2eTestBoard",
    ]
    assert parse_boards("none") == parse_boards(" ") == ()
    for text in ("speck2fmodule:x", "speck", "speck2e,,speck2e"):
        with pytest.raises(SettingsError, match="SPECK_ADACAL_VIRTUAL"):
            parse_boards(text)


def test_view_shows_what_it_was_told(samna):
    from rich.console import Console

    from speck_adacal.virtual_samna.gui import ViewState, view

    state = ViewState()
    for event in (
        samna.ui.DvsEvent(13, 1, 2, 3, 4),
        samna.ui.SpikeCount(0, [4, 2]),
        samna.ui.Readout(1),
        samna.ui.Measurement(0, 2, 0.001),
    ):
        state.take(event)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(view(state))
    text = console.export_text()
    assert "class 0" in text
    assert "1.000 mW" in text
    assert "readout" in text
