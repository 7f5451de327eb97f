"""`rnndsl explain CODE`: one page for each error, `rnndsl/explain/CODE.md`.

A page has a title line, a few sentences, and where the mistake lies in a cell file the sections
``## Wrong``, ``## Message`` and ``## Right``, each with a fenced block.  Adding a page is adding
a file; a test runs both programs and compares the message.
"""

from __future__ import annotations

from pathlib import Path

from rnndsl.diagnostics import RnndslError, all_errors, did_you_mean
from rnndsl.errors_syntax import UnknownCode

PAGES = Path(__file__).with_name("explain")


def explain(code: str) -> str:
    """The page of an error code, upper or lower case, with or without its ``E``.

    Raises RnndslError when no error has this code.
    """
    pages = {page.stem: page for page in PAGES.glob("E*.md")}
    wanted = code.strip().strip("[]").upper()
    wanted = f"E{wanted}" if wanted.isdigit() else wanted
    if wanted in pages:
        return pages[wanted].read_text(encoding="utf-8")
    known = all_errors()
    if wanted in known:  # a page is still to be written: say at least the first line
        error = known[wanted]
        return f"# {wanted}: {error.title}\n\n{error.label}\n"
    digits = wanted.translate(str.maketrans("OIL", "011"))
    raise RnndslError(UnknownCode(None, code, did_you_mean(digits, {*pages, *known})))
