"""``python -m sparsedef`` is the same as ``sparsedef``."""

import sys

from sparsedef.cli import main

if __name__ == "__main__":
    sys.exit(main())
