"""`python -m treadle`: the command line.

It is the same program as `treadle`, for where that is not on the PATH.
"""

from __future__ import annotations

import sys

from treadle.cli import main

if __name__ == "__main__":
    sys.exit(main())
