"""``python -m uvsam`` is the same as ``uvsam``."""

from uvsam.cli.main import main

if __name__ == "__main__":
    main()
