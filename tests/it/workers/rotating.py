"""Worker processes that log to one file, each with a RotatingFileHandler of its own.

Python says that this is not supported, and people do it: a process that finds its own file full renames
all of them, while the others go on writing to what is called .1 and .2 by then. The processes take
turns, line by line: else two of them rename at once, and Python itself removes whole files.
"""

import fcntl
import logging.handlers
import os
import sys
import time

LINE = '127.0.0.1 - - [23/Nov/2026:08:41:00 +0000] "GET %s HTTP/1.1" 200 2 "-" "curl/8"'


def work(log, worker, lines):
    logger = logging.getLogger("gunicorn.access")
    logger.setLevel(logging.INFO)
    handler = logging.handlers.RotatingFileHandler(log, maxBytes=4000, backupCount=1000)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    with open(os.path.dirname(log) + ".turn", "w") as turn:
        for number in range(lines):
            fcntl.flock(turn, fcntl.LOCK_EX)
            logger.info(LINE, f"/{worker}/{number}")
            fcntl.flock(turn, fcntl.LOCK_UN)
            time.sleep(0.002)  # a reader comes between two rotations, now and then


def main():
    log, workers, lines = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    children = []
    for worker in range(workers):
        child = os.fork()
        if child == 0:
            work(log, f"worker{worker}", lines)
            os._exit(0)
        children.append(child)
    failed = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(any(failed))


main()
