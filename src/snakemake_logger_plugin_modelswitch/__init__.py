"""`snakemake --logger modelswitch`: Snakemake finds plugins by the name of their package.

All that it does is in `modelswitch.execution.progress`.
"""

from modelswitch.execution.progress import LogHandler

__all__ = ["LogHandler"]
