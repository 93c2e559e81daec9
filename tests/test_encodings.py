"""Text is UTF-8 whatever the locale is: in every file that is opened, and in what is printed."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = sorted(
    path
    for folder in ("src", "workflow", "benchmarks", "docs")
    for path in (ROOT / folder).rglob("*.py")
)
RULES = [
    ROOT / "Snakefile",
    *sorted(ROOT.glob("rules/*.smk")),
    *sorted(ROOT.glob("workflow/*.smk")),
]
# Whatever else is called `open`: descriptors, images, archives' members, tensors.
OTHERS = {"os", "Image", "archive", "zipfile", "tarfile", "webbrowser"}
PACKED = {"gzip", "bz2", "lzma"}
# This project's own writer is UTF-8 itself.
OWN = {"atomic"}
OPENERS = {"open", "fdopen", "NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile"}
STARTERS = {"run", "Popen", "check_output", "check_call", "call", "getoutput", "getstatusoutput"}


def without_encoding(tree: ast.AST) -> list[ast.Call]:
    """Calls that read or write text in the encoding of whoever's locale it is."""
    found = []
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        method = isinstance(call.func, ast.Attribute)
        name = call.func.attr if method else getattr(call.func, "id", "")
        owner = getattr(call.func.value, "id", "") if method else ""
        given = {word.arg: word.value for word in call.keywords}
        starts = name in STARTERS and (owner == "subprocess" or not method)
        # What other programs say is in the letters of their locale.
        if "encoding" in given and (not starts or "errors" in given):
            continue
        if name in ("read_text", "write_text"):
            guilty = owner not in OWN
        elif name in OPENERS:
            # Packed files are bytes unless a mode says otherwise.
            packed = owner in PACKED
            first = 1 if packed or not method or name == "fdopen" else 0
            if name.endswith("File"):
                first = 0
            mode = given.get("mode") or (call.args[first] if len(call.args) > first else None)
            default = "w+b" if name.endswith("File") else "rb" if packed else "r"
            mode = default if mode is None else getattr(mode, "value", "")
            guilty = "b" not in mode and (owner not in OTHERS or name == "fdopen")
        elif starts:
            guilty = (
                name.startswith("get")
                or "encoding" in given
                or any(
                    getattr(given.get(word), "value", False) is True
                    for word in ("text", "universal_newlines")
                )
            )
        else:
            guilty = name == "TextIOWrapper"
        if guilty:
            found.append(call)
    return found


@pytest.mark.parametrize(
    ("code", "guilty"),
    [
        ("open('x')", True),
        ("open('x', 'rb')", False),
        ("open('x', mode='w', encoding='utf-8')", False),
        ("path.open()", True),
        ("path.open('ab')", False),
        ("path.open('w')", True),
        ("os.open('x', os.O_RDWR)", False),
        ("os.fdopen(3, 'w')", True),
        ("gzip.open('x')", False),
        ("gzip.open('x', 'rt')", True),
        ("path.read_text()", True),
        ("path.read_text(encoding='utf-8')", False),
        ("path.write_text('x', newline='')", True),
        ("atomic.write_text(path, 'x')", False),
        ("subprocess.run(['x'], text=True)", True),
        ("subprocess.run(['x'], text=True, encoding='utf-8')", True),
        ("subprocess.run(['x'], encoding='utf-8', errors='replace')", False),
        ("subprocess.run(['x'], capture_output=True)", False),
        ("tempfile.NamedTemporaryFile('w')", True),
        ("tempfile.NamedTemporaryFile()", False),
        ("io.TextIOWrapper(stream)", True),
    ],
)
def test_what_depends_on_the_locale_is_recognised(code, guilty):
    assert bool(without_encoding(ast.parse(code))) == guilty


def test_every_text_is_opened_with_its_encoding():
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)[:80]}"
        for path in PYTHON
        for call in without_encoding(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_rules_are_opened_by_snakemake_in_any_locale():
    """It reads them in that of the locale, so they are ASCII; what they open has its encoding."""
    assert len(RULES) > 8
    for path in RULES:
        text = path.read_bytes().decode("ascii")
        for match in re.finditer(r"\b(read_text|write_text|open)\(([^()]*)\)", text):
            assert "encoding=" in match[2], f"{path.name}: {match[0]}"
