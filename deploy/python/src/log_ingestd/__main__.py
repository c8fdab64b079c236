"""`python -m log_ingestd`: runs the program in place of this process, so that signals reach it."""

import os
import sys

from . import find_program

if __name__ == "__main__":
    program = find_program()
    os.execv(program, [program, *sys.argv[1:]])
