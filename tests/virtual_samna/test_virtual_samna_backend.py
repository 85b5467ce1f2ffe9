"""Choice of back end: nothing is imported to find out, never both, pip never runs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest


def run(code: str, path: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    full = {k: v for k, v in os.environ.items() if not k.startswith("SPECK_ADACAL")}
    full["PYTHONPATH"] = os.pathsep.join(p for p in (path, os.environ.get("PYTHONPATH", "")) if p)
    full.update(env)
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=full,
        check=False,
        cwd=os.path.dirname(os.path.dirname(os.path.dirname(__file__))),
    )


def make_package(folder, text: str, *, compiled: bool = False, version: str = "9.9.9") -> str:
    package = folder / "samna"
    package.mkdir()
    (package / "__init__.py").write_text(text)
    if compiled:
        (package / "_core.cpython-311.so").write_bytes(b"")
    info = folder / f"samna-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: samna\nVersion: {version}\n")
    return str(folder)


STUB = "PYPI_SAMNA = True\nopen('imported', 'w')\nraise SystemExit('the stub was imported')\n"

ENSURE = """
    import sys
    from speck_adacal.virtual_samna import ensure_samna
    backend = ensure_samna()
    print(backend.kind, backend.version)
"""


def test_importing_changes_nothing():
    result = run(
        """
        import sys
        import speck_adacal, speck_adacal.virtual_samna
        bad = [n for n in sys.modules if n.split(".")[0] in ("samna", "samnagui", "torch", "numba")]
        assert not bad, bad
        """
    )
    assert result.returncode == 0, result.stderr


def test_stub_is_recognised_without_importing_it(tmp_path):
    path = make_package(tmp_path, STUB, version="0.48.6")
    result = run(ENSURE + "    import samna; print(samna.device.get_all_devices)", path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("virtual 0.48.6+virtual")
    assert "installer stub" in result.stderr
    assert result.stderr.count("\n") == 1  # one log line
    assert not (tmp_path / "imported").exists()


def test_pip_never_runs_with_the_stub_that_is_installed():
    """Whatever is installed here: pip is not started while sinabs' back end is imported."""
    result = run(
        """
        import sys
        def forbid(event, args):
            if event == "subprocess.Popen" and "pip" in str(args):
                raise RuntimeError("pip was started")
        sys.addaudithook(forbid)
        from speck_adacal.virtual_samna import ensure_samna
        backend = ensure_samna("virtual")
        import samna
        import sinabs.backend.dynapcnn
        import samna.speck2f.configuration, samna.speck2e.event, samna.specksim.nodes, samnagui
        assert samna.SPECK_ADACAL_VIRTUAL and not hasattr(samna, "PYPI_SAMNA")
        """
    )
    assert result.returncode == 0, result.stderr


def test_real_library_is_preferred(tmp_path):
    path = make_package(tmp_path, "__version__ = '9.9.9'\n", compiled=True)
    code = ENSURE + "    assert 'samna' not in sys.modules; import samna; print(samna.__file__)"
    result = run(code, path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["real", "9.9.9", str(tmp_path / "samna" / "__init__.py")]


def test_virtual_can_be_forced_over_the_real_library(tmp_path):
    path = make_package(tmp_path, "raise SystemExit('imported')\n", compiled=True)
    result = run(ENSURE + "    import samna", path, SPECK_ADACAL_SAMNA="virtual")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("virtual")


def test_unknown_package_is_not_taken_for_the_library(tmp_path):
    path = make_package(tmp_path, "raise SystemExit('imported')\n")
    result = run(ENSURE, path)
    assert result.stdout.startswith("virtual"), result.stderr
    assert "no compiled extension" in result.stderr


@pytest.mark.parametrize(
    ("choice", "error"),
    [("real", "HardwareMissingError"), ("off", "BackendError"), ("both", "BackendError")],
)
def test_override_errors_are_typed(tmp_path, choice, error):
    path = make_package(tmp_path, STUB)
    result = run(ENSURE, path, SPECK_ADACAL_SAMNA=choice)
    assert result.returncode == 1
    assert f"speck_adacal.errors.{error}" in result.stderr
    assert "SPECK_ADACAL_SAMNA" in result.stderr


def test_never_both_in_one_process(tmp_path):
    path = make_package(tmp_path, "__version__ = '9.9.9'\n", compiled=True)
    result = run(
        """
        from speck_adacal.errors import BackendError
        from speck_adacal.virtual_samna import ensure_samna
        assert ensure_samna("virtual").kind == "virtual"
        assert ensure_samna().kind == "virtual"
        try:
            ensure_samna("real")
        except BackendError as error:
            assert "new process" in str(error)
        else:
            raise SystemExit("both")
        """,
        path,
    )
    assert result.returncode == 0, result.stderr
    result = run(
        """
        import samna
        from speck_adacal.errors import BackendError
        from speck_adacal.virtual_samna import ensure_samna
        assert ensure_samna().kind == "real"
        try:
            ensure_samna("virtual")
        except BackendError:
            pass
        else:
            raise SystemExit("both")
        """,
        path,
    )
    assert result.returncode == 0, result.stderr


def test_virtual_samna_needs_no_torch():
    result = run(
        """
        import sys
        from speck_adacal.virtual_samna import ensure_samna
        ensure_samna("virtual")
        import samna
        config = samna.speck2f.configuration.SpeckConfiguration()
        assert samna.speck2f.validate_configuration(config) == (True, "")
        assert "torch" not in sys.modules
        """
    )
    assert result.returncode == 0, result.stderr
