"""`python -m tests.translation`: write docs/translation.md; `--check` only says whether it is up to date."""

from __future__ import annotations

import sys

from tests.translation.page import PAGE, page


def main() -> int:
    written = page()
    if "--check" not in sys.argv:
        PAGE.write_text(written, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == written:
        return 0
    print("docs/translation.md is out of date: python -m tests.translation", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
