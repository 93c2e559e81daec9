"""What documents, code and configurations refer to is there."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from modelswitch.config.degradations import DEGRADATION_NAMES
from modelswitch.data.degradations import MEANING
from modelswitch.report.two_runs import tables_of

ROOT = Path(__file__).parents[1]
TEXTS = (".md", ".py", ".smk", ".yaml", ".sh", ".rst", ".jinja", ".toml", "Makefile", "Snakefile")
REFERENCES = sorted(path.name for path in (ROOT / "results/reference").iterdir() if path.is_dir())
MEASURED = ("bench", "eye_photos", "gpu", "parts")  # measurements and unfinished, no studies


def ours() -> list[Path]:
    """The files of this project, those of other checkouts or environments inside it left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = (ROOT / line for line in listed.stdout.splitlines() if line.endswith(TEXTS))
    return [path for path in paths if path.is_file()]


def test_documents_that_are_named_are_there():
    for path in ours():
        for name in re.findall(r"(?<![\w/.-])docs/[\w-]+\.md", path.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{path.relative_to(ROOT)} refers to {name}"


def test_links_lead_to_files():
    for path in ours():
        if path.suffix == ".md":
            for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
                if not link.startswith(("http", "#", "mailto")):
                    target = path.parent / link.partition("#")[0]
                    assert target.exists(), f"{path.relative_to(ROOT)} links to {link}"


def test_commands_name_scripts_targets_and_modules_that_are_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in ours():
        if path.suffix != ".md":
            continue
        text = path.read_text(encoding="utf-8")
        where = path.relative_to(ROOT)
        for script in re.findall(r"python ((?:workflow|benchmarks|tests|docs)/[\w/]+\.py)", text):
            assert (ROOT / script).is_file(), f"{where}: python {script}"
        for module in re.findall(r"python -m (modelswitch[.\w]*)", text):
            name = module.replace(".", "/")
            there = [ROOT / f"src/{name}.py", ROOT / f"src/{name}/__main__.py"]
            assert any(file.is_file() for file in there), f"{where}: python -m {module}"
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
            assert target in targets, f"{where}: make {target}"
        for name in re.findall(r"--configfile (config/[\w/-]+\.yaml)", text):
            assert (ROOT / name).is_file(), f"{where}: {name}"


def test_formulas_are_read_without_an_extension_for_mathematics():
    """The site has none, and neither has a terminal."""
    for path in ours():
        if path.suffix == ".md":
            prose = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.S)
            assert "$" not in prose, path.relative_to(ROOT)


@pytest.mark.parametrize("name", [name for name in REFERENCES if name not in MEASURED])
def test_figures_of_every_committed_study_are_drawn_by_one_command(name):
    """The one in docs/results.md, wherever in the folder its tables lie."""
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert "figures.py --tables results/reference/<study> --output" in text
    assert len(tables_of(str(ROOT / "results/reference" / name)).models)


def test_the_table_of_degradations_is_that_of_the_code():
    text = (ROOT / "docs/degradations.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `.*", text, re.MULTILINE) == [
        f"| `{name}` | {meaning} |" for name, meaning in MEANING.items()
    ]
    assert tuple(MEANING) == DEGRADATION_NAMES


def test_every_test_that_faults_are_said_to_have_is_there():
    """By its file, its name, or both; `::name` is of the file that was named last."""
    defined = {
        path.stem: set(
            re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        )
        for path in sorted((ROOT / "tests").glob("test_*.py"))
    }
    everywhere = set().union(*defined.values())
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    named = 0
    for line in text.splitlines():
        file = ""
        for token in re.findall(r"`((?:test_\w+|…|)(?:\.py)?(?:::)?(?:test_\w+)?)`", line):
            if "test_" not in token:
                continue
            named += 1
            before, _, name = token.replace(".py", "").rpartition("::")
            file = before.removeprefix("…") or (name if name in defined else file)
            assert not file or file in defined, f"docs/faults.md names {token}"
            if name not in defined:
                known = defined[file] if file and before else everywhere
                assert name in known, f"docs/faults.md names {token}"
    assert named > 100


def test_the_site_has_every_page_about_this_project():
    site = yaml.safe_load((ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8"))

    def pages(entries):
        for entry in entries:
            for value in entry.values():
                yield from pages(value) if isinstance(value, list) else [value]

    named = list(pages(site["nav"]))
    assert len(set(named)) == len(named)
    for name in named:
        assert (ROOT / name).is_file(), name
    written = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert written <= set(named)
