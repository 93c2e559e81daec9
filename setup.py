"""Puts the workflow itself beside the package in a wheel; everything else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PARTS = ("Snakefile", "rules", "workflow", "config", "profiles")


class WithWorkflow(build_py):
    def run(self):
        super().run()
        if self.editable_mode:
            return
        # `modelswitch where` looks here.
        inside = Path(self.build_lib) / "modelswitch" / "installed"
        shutil.rmtree(inside, ignore_errors=True)
        for part in PARTS:
            if Path(part).is_dir():
                shutil.copytree(
                    part, inside / part, ignore=shutil.ignore_patterns("__pycache__", ".*", "test")
                )
            else:
                inside.mkdir(parents=True, exist_ok=True)
                shutil.copy2(part, inside / part)


setup(cmdclass={"build_py": WithWorkflow})
