"""The digest of code that decides what Snakemake runs again."""

import modulefinder
import os
from pathlib import Path

import pytest

from modelswitch.storage import cache_folder, code_digest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A script in a folder of which Snakemake keeps notes."""
    monkeypatch.chdir(tmp_path)
    cache_folder.FOLDER.mkdir(parents=True)
    path = tmp_path / "script.py"
    path.write_text("from modelswitch import errors\n")
    return path


def anew(script):
    """The digest as another process finds it, which has computed none yet."""
    code_digest._module_digest.cache_clear()
    code_digest._imports.cache_clear()
    return code_digest.code_digest.__wrapped__(script)


@pytest.mark.parametrize(
    "script", sorted((ROOT / "workflow" / "scripts").glob("*.py")), ids=lambda p: p.stem
)
def test_the_modules_are_those_that_python_would_find(script):
    finder = modulefinder.ModuleFinder(path=[str(ROOT / "src")])
    finder.run_script(str(script))
    own = {Path(module.__file__) for module in finder.modules.values() if module.__file__}
    assert set(code_digest.modules(script)) == {*own, script} - {
        code_digest.PACKAGE / "__init__.py"
    }


def test_a_known_digest_is_not_computed_again(script, monkeypatch):
    first = anew(script)
    monkeypatch.setattr(
        code_digest, "modules", lambda script: pytest.fail("followed imports again")
    )
    assert anew(script) == first


def test_a_change_that_keeps_the_length_is_seen(script):
    first = anew(script)
    script.write_text("from modelswitch import lineage\n")
    second = anew(script)
    script.write_text("from modelswitch import errors\n")
    assert second != first
    assert anew(script) == first


def test_comments_and_dates_do_not_count(script):
    first = anew(script)
    os.utime(script, (1, 1))
    assert anew(script) == first
    script.write_text("# Why.\n" + script.read_text())
    assert anew(script) == first


def test_a_script_called_by_hand_leaves_no_folder(script):
    cache_folder.FOLDER.rmdir()
    cache_folder.FOLDER.parent.rmdir()
    anew(script)
    assert not cache_folder.FOLDER.parent.exists()


def test_a_note_that_was_cut_short_is_not_believed(script):
    first = anew(script)
    [note] = cache_folder.FOLDER.iterdir()
    note.write_text(note.read_text()[:40])
    assert anew(script) == first
