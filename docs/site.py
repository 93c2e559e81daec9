"""Build the documentation as a site: ``make site``, into build/site/html.

Pages are the Markdown files of this repository where they lie, so that every link means the same
on the site, in a clone, and wherever the repository is shown.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "site"
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")


def pages() -> list[Path]:
    """The repository's Markdown files, those that git knows or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace", check=True,
    )  # fmt: skip
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def linked(page: Path) -> set[Path]:
    """The files of the repository that a page shows or leads to."""
    links = (link for link in LINK.findall(page.read_text(encoding="utf-8")) if ":" not in link)
    targets = {(page.parent / link).resolve() for link in links}
    return {path for path in targets if path.is_file() and path.is_relative_to(ROOT)}


def main() -> None:
    shutil.rmtree(BUILD, ignore_errors=True)
    found = pages()
    for path in {*found, *(target for page in found for target in linked(page))}:
        target = BUILD / "pages" / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    shutil.copy2(ROOT / "docs" / "mkdocs.yml", BUILD / "mkdocs.yml")
    # Quietly, it would not count what it does not tell. Its makers print a page about what is next.
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file",
         str(BUILD / "mkdocs.yml")],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True,
        encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
        raise SystemExit("\n".join(told))
    print(BUILD.relative_to(ROOT) / "html" / "index.html")


if __name__ == "__main__":
    main()
