"""The workflow where others expect it: in a wheel, under workflow/, in the catalogue."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def said(*command, folder, **variables) -> str:
    """What a command prints, which has to end well."""
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=os.environ | variables, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_installed_wheel_runs_from_any_folder(tmp_path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    said("setup.py", "--quiet", "egg_info", f"--egg-base={tmp_path}", "build_py",
         f"--build-lib={site}", folder=ROOT)  # fmt: skip
    found = said("-m", "modelswitch", "where", folder=elsewhere, PYTHONPATH=str(site)).strip()
    assert found == str(site / "modelswitch" / "installed" / "Snakefile")
    config = ROOT / ".test" / "config" / "config.yaml"
    plan = said("-m", "snakemake", "--dry-run", "--quiet", "host", "--snakefile", found,
                "--configfile", str(config), folder=elsewhere, PYTHONPATH=str(site))  # fmt: skip
    assert "results/test/results.html" in plan
    # Beside the package, where Snakemake looks for `--logger modelswitch`.
    assert (site / "snakemake_logger_plugin_modelswitch" / "__init__.py").is_file()


@pytest.mark.slow
def test_the_file_under_workflow_runs_the_whole(tmp_path):
    config = ROOT / ".test" / "config" / "config.yaml"
    counts = []
    for name in ("Snakefile", "workflow/Snakefile"):
        plan = said("-m", "snakemake", "--dry-run", "--quiet", "host", "--directory", str(tmp_path),
                    "--configfile", str(config), "--snakefile", str(ROOT / name),
                    folder=ROOT)  # fmt: skip
        jobs = [line.split() for line in plan.splitlines()]
        counts.append({words[0]: words[1] for words in jobs if words[1:] and words[1].isdigit()})
    for counted, added in zip(counts, ("all", "complete"), strict=True):
        assert counted.pop(added, None) == "1"
        counted.pop("total")
    assert counts[0]["train"] == "4"
    assert counts[1] == counts[0]


def test_what_catalogues_and_editors_read_is_well_formed():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert {"mandatory-flags", "software-stack-deployment", "report"} <= set(usage)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    import modelswitch

    assert citation["version"] == modelswitch.__version__
    for path in (ROOT / ".github").rglob("*.yml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path
