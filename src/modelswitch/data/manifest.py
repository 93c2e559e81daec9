"""The files that a data set is made from. Light to import: Snakemake asks while it parses."""

from pathlib import Path

from modelswitch.config.data import DataSpec, FolderData, NpzData, PairedData
from modelswitch.errors import UserError


def input_files(spec: DataSpec) -> list[str]:
    """Files that a data set is made from, for Snakemake to track."""
    single = isinstance(spec, NpzData | PairedData) and not Path(spec.path).is_dir()
    return [spec.path] if single else []


def check_present(spec: DataSpec) -> None:
    """Raise `UserError` if the file or folder is not there, without reading it."""
    if isinstance(spec, NpzData) and not Path(spec.path).is_file():
        raise UserError(f"data.path: {spec.path}: no such file")
    if isinstance(spec, FolderData) and not Path(spec.path).is_dir():
        raise UserError(f"data.path: {spec.path}: no such folder")
    if isinstance(spec, PairedData) and not Path(spec.path).exists():
        raise UserError(f"data.path: {spec.path}: no such folder or .npz file")
