"""``python -m rnndsl``."""

from rnndsl.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
