"""Write the tree of the package into architecture.md, one line a file, from the docstrings."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- tree: made by `make docs` -->", "<!-- end of tree -->"
WIDTH = 34  # columns before a file's line


def first_sentence(path: Path) -> str:
    """The first sentence of a module's docstring, without its full stop."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    sentences = re.split(r"\. (?=[A-Z`])", " ".join(text.split("\n\n")[0].split()))
    return sentences[0].rstrip(".")


def tree(folder: Path, depth: int = 0) -> list[str]:
    """Lines for a folder's own modules, then for its rooms."""
    lines = []
    modules = sorted(p for p in folder.glob("*.py") if p.name != "__init__.py")
    rooms = sorted(p for p in folder.iterdir() if (p / "__init__.py").is_file())
    for path in modules:
        name = "  " * depth + path.name
        lines.append(f"{name:{WIDTH}}{first_sentence(path)}")
    for room in rooms:
        name = "  " * depth + f"{room.name}/"
        sentence = first_sentence(room / "__init__.py")
        lines.append(f"{name:{WIDTH}}{sentence}")
        # One more of them is no change of the architecture.
        if not sentence.startswith("One file a"):
            lines += tree(room, depth + 1)
    return lines


def page(text: str) -> str:
    """The page with the tree as the code has it now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = "\n".join(tree(ROOT / "src" / "modelswitch"))
    return f"{before}{BEGIN}\n\n```\n{lines}\n```\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
