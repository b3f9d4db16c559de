"""`just simulate seeds=N`: so many seeds, the safeguards taken away one by one, and a last line."""

import sys

from tests.simulation.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
