"""Names of files in a locale that lacks their letters.

Files are called in UTF-8. Where Python takes their names for something else it would look for files
of other names, or none.
"""

import sys
from collections.abc import Iterable

from modelswitch.errors import UserError


def refuse_others(what: str, texts: Iterable[str]) -> None:
    """Raise `UserError` if ``texts`` hold letters beyond ASCII where the locale is not UTF-8."""
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8" and not all(text.isascii() for text in texts):
        raise UserError(
            f"{what}: has letters that the locale ({encoding}) lacks or takes for others; set "
            "PYTHONUTF8=1, or a locale of UTF-8"
        )
