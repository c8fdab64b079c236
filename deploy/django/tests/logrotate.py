"""Runs the real logrotate, with the configuration that the README recommends."""

import os
import re
import subprocess
import threading
import time

from .server import PROJECT

README = (PROJECT / "README.md").read_text()


class Logrotate(threading.Thread):
    """Rotates repeatedly until ``stop``."""

    def __init__(self, directory, logs):
        super().__init__()
        self.ended = threading.Event()
        self.said = []
        self.first = [logs / "access.log.1", logs / "requests.log.1"]
        text = re.search(r"^```conf\n(.*?)^```", README, re.DOTALL | re.MULTILINE).group(1)
        self.config = directory / "logrotate.conf"
        self.config.write_text(text.replace("/var/log/gunicorn", str(logs)))
        self.state = directory / "logrotate.state"

    def run(self):
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        # The workers rotate first: on a slow machine no file would reach their limit between two rotations here.
        while not all(file.exists() for file in self.first) and not self.ended.wait(0.02):
            pass
        # Names end with the second: a second rotation within one second has no effect.
        while not self.ended.wait(1.1):
            done = subprocess.run(
                ["logrotate", "--force", "--state", self.state, self.config],
                env={"PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            self.said.append((done.returncode, done.stdout))

    def wait_for(self, count):
        """Waits until this many rotations have begun, independent of the machine's speed."""
        while len(self.said) < count and self.is_alive():
            time.sleep(0.02)

    def stop(self):
        self.ended.set()
        self.join()
