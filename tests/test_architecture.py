"""The order of rooms: who may use whom, and what Snakemake's parsing may import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "modelswitch"
# From left to right: a room uses rooms to its left, its own group included.
ORDER = (
    ("errors", "lineage", "randomness", "wording", "user_code"),
    ("storage", "execution"),
    ("config",),
    ("graph", "data", "training"),
    ("models", "selector"),
    ("transfer", "results"),
    ("deployment", "search", "jobs", "planning", "report"),
    ("__main__", "__init__"),
)
RANK = {room: rank for rank, group in enumerate(ORDER) for room in group}
# Read whenever Snakemake parses the workflow: importing torch would cost every dry run seconds.
WITHOUT_TORCH = (
    "config.experiment",
    "config.file",
    "data.manifest",
    "execution.warm_start",
    "graph",
    "lineage",
    "planning.checks",
    "report.contents",
    "results.schema",
    "search.places",
    "search.schedule",
    "search.steps",
    "selector.graph",
    "storage.code_digest",
)
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Modules of the package that a file imports, functions included, named without the package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide which room is used"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {n.removeprefix("modelswitch.") for n in names if n.startswith("modelswitch.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_uses_only_rooms_to_its_left(path):
    room = name_of(path).split(".")[0]
    if room == "__init__":
        return
    assert room in RANK, f"{room}: in no place of the order; docs/architecture.md has it"
    for used in imported(path):
        other = used.split(".")[0]
        assert RANK[other] <= RANK[room], f"{name_of(path)} uses {used}, which stands to its right"


def test_groups_have_no_circles():
    """Within a group rooms may use each other one way only, and so may modules everywhere."""
    modules = {name_of(path) for path in MODULES}

    def module(used: str) -> str | None:
        # `from modelswitch.a.b import c` names the object c or the module a.b.c.
        return next((m for m in (used, used.rpartition(".")[0]) if m in modules), None)

    uses = {
        name_of(path): {m for used in imported(path) if (m := module(used))} for path in MODULES
    }
    for edges in (uses, _by_room(uses)):
        assert _circle(edges) is None


def _by_room(uses: dict[str, set[str]]) -> dict[str, set[str]]:
    rooms: dict[str, set[str]] = {}
    for name, used in uses.items():
        room = name.split(".")[0]
        rooms.setdefault(room, set()).update({u.split(".")[0] for u in used} - {room})
    return rooms


def _circle(edges: dict[str, set[str]]) -> list[str] | None:
    done: set[str] = set()

    def visit(name: str, above: list[str]) -> list[str] | None:
        if name in above:
            return [*above[above.index(name) :], name]
        if name in done:
            return None
        for used in sorted(edges.get(name, ())):
            found = visit(used, [*above, name])
            if found:
                return found
        done.add(name)
        return None

    return next((found for name in sorted(edges) if (found := visit(name, []))), None)


def test_a_circle_is_found():
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_packages_hold_a_docstring_only():
    """Code digests follow them: a name added there would change the digest of every script."""
    for path in PACKAGE.rglob("__init__.py"):
        if path.parent != PACKAGE:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert len(tree.body) == 1, path
            assert ast.get_docstring(tree), path


def test_parsing_the_workflow_imports_no_torch():
    code = "".join(f"import modelswitch.{name}\n" for name in WITHOUT_TORCH)
    code += (
        "import sys; sys.exit(', '.join({'torch', 'pandas', 'scipy'} & set(sys.modules)) or None)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_modules_can_be_read_in_one_sitting():
    long = {
        name_of(path): lines
        for path in MODULES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 420
    }
    assert not long


def test_the_page_shows_the_tree_as_it_is(monkeypatch):
    monkeypatch.syspath_prepend(str(PACKAGE.parents[1] / "docs"))
    import tree

    text = tree.PAGE.read_text(encoding="utf-8")
    assert tree.page(text) == text, "make docs brings docs/architecture.md in step"
