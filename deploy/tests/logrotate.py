"""The samples in deploy/logrotate, by a real logrotate, under a real Gunicorn that the daemon follows."""

import getpass
import grp
import os
import re
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from services import PROGRAM, ROOT, Running, environment, reserve_port, get, until, urls

REQUESTS = 50


def play(sample, directory):
    """Requests, a rotation, requests: each is one row."""
    logs, port = directory / "log", reserve_port()
    logs.mkdir()
    log, pid = logs / "access.log", directory / "gunicorn.pid"
    text = sample.read_text()
    replaced = {"/var/log/app/": f"{logs}/", "/run/app/gunicorn.pid": str(pid)}
    if os.geteuid() != 0:
        replaced["www-data adm"] = f"{getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name}"
    for old, new in replaced.items():
        text = text.replace(old, new)
    config = directory / "logrotate.conf"
    config.write_text(text)
    config.chmod(0o644)
    app = ROOT / "deploy/container/demo"
    gunicorn = [ROOT / ".venv/bin/gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--chdir", app,
                "--access-logfile", log, "--pid", pid, "--log-level", "warning", "app:application"]
    env = environment(LOG_INGESTD_WATCH=str(logs), DATABASE_URL=f"sqlite:{directory}/rows.sqlite3",
                      LOG_INGESTD_LISTEN="off", LOG_INGESTD_LOG_LEVEL="warn")
    wanted = set()

    def ask(prefix):
        for nth in range(REQUESTS):
            wanted.add(f"/{prefix}/{nth:03}")
            assert get(f"http://127.0.0.1:{port}/{prefix}/{nth:03}") == 200

    def logged():
        """The truth: what Gunicorn wrote, whatever this client counted."""
        return sorted(re.findall(r'"GET (\S+) ', "".join(file.read_text() for file in logs.iterdir())))

    def all_logged():
        return wanted <= set(logged())

    with Running(gunicorn, env=environment(PYTHONDONTWRITEBYTECODE="1")), Running([PROGRAM], env=env):
        until("Gunicorn answers", lambda: get(f"http://127.0.0.1:{port}/first") == 200)
        wanted.add("/first")
        ask("before")
        until("every request is logged", all_logged)
        before = len(logged())
        subprocess.run(["logrotate", "--force", "--state", directory / "state", config], check=True)
        rotated = [file for file in logs.iterdir() if file != log]
        assert len(rotated) == 1 and rotated[0].name.startswith("access.log-2"), rotated
        assert rotated[0].read_text().count("\n") == before
        if "create" in sample.read_text().split():
            made = log.stat()
            assert stat.S_IMODE(made.st_mode) == 0o640, oct(made.st_mode)
            assert os.geteuid() != 0 or grp.getgrgid(made.st_gid).gr_name == "adm"

            def reopened():
                open_files = subprocess.run(["sh", "-c", 'for p in $(cat "$0") $(cat /proc/$(cat "$0")/task/*/children);'
                                             ' do readlink /proc/$p/fd/*; done', pid], text=True, capture_output=True)
                return str(rotated[0]) not in open_files.stdout

            until("Gunicorn has left the old log", reopened)
        ask("after")
        until("every request is logged", all_logged)
        assert log.read_text().count("/after/") == REQUESTS
        until("every request is a row", lambda: len(urls(env)) >= len(logged()))
        assert urls(env) == logged()


def main():
    samples = sorted((ROOT / "deploy/logrotate").iterdir())
    assert [sample.name for sample in samples] == ["gunicorn-copytruncate", "gunicorn-create"], samples
    for sample in samples:
        with tempfile.TemporaryDirectory(prefix="log-ingestd-logrotate-") as directory:
            os.chmod(directory, 0o755)
            play(sample, Path(directory))
        print(f"   {sample.name}: {2 * REQUESTS + 1} requests around a rotation, each one row", flush=True)


if __name__ == "__main__":
    sys.exit(main())
