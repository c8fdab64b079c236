"""deploy/container/README.md: the daemon of each `docker run` in it, started as a plain process with the
same variables and directories. The builds are tried by image.py, the demo by compose.py."""

import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from compose import image_environment
from document import Document
from services import PROGRAM, ROOT, Running, environment, reserve_port, until, urls

LINE = '127.0.0.1 - - [24/Nov/2026:08:41:00 +0000] "GET /asked HTTP/1.1" 200 2 "-" "curl/8"\n'
# Options that take a value, and those that do not; any other is a slip.
WITH_VALUE = {"--name", "--restart", "--volume", "--group-add", "--env", "--tmpfs", "--cap-drop", "--cap-add",
              "--security-opt", "--user"}
ALONE = {"--detach", "--read-only"}


def parsed(command):
    """The options of `docker run`, by name, and the image with its arguments."""
    words = iter(shlex.split(command.replace("\\\n", " ")))
    assert [next(words), next(words)] == ["docker", "run"], command
    options = {}
    for word in words:
        if word in WITH_VALUE:
            options.setdefault(word, []).append(next(words))
        elif word in ALONE:
            options[word] = []
        else:
            return options, [word, *words]
    raise AssertionError(f"no image: {command}")


def play(options, directory):
    """A line in the directory of the logs, and its row."""
    mounts = dict(volume.split(":")[:2][::-1] for volume in options["--volume"])
    for volume in options["--volume"]:
        assert volume.endswith(":ro") or volume == "log-ingestd:/var/lib/log-ingestd", volume
    assert "--read-only" in options and options["--cap-drop"] == ["ALL"] and options["--tmpfs"] == ["/tmp"]
    assert options["--security-opt"] == ["no-new-privileges"] and options["--restart"] == ["unless-stopped"]
    here = {inside: directory / inside.strip("/").replace("/", "-") for inside in mounts}
    for path in here.values():
        path.mkdir()
    env = image_environment() | dict(it.split("=", 1) for it in options["--env"] if "=" in it)
    if "DATABASE_URL" in env:
        assert "PGPASSWORD" in options["--env"] and env["DATABASE_URL"].startswith("postgres://")
        env["DATABASE_URL"] = f"sqlite:{directory}/rows.sqlite3"
    for name, value in env.items():
        for inside, path in here.items():
            if value.startswith(inside):
                env[name] = str(path) + value.removeprefix(inside)
    watched = env["LOG_INGESTD_WATCH"].replace("*/*-json.log*", "0a1b/0a1b-json.log")
    log = Path(watched) if watched.endswith(".log") else Path(watched) / "access.log"
    log.parent.mkdir(exist_ok=True)
    wrapped = '{"log":%s,"stream":"stdout","time":"2026-11-24T08:41:00.123456789Z"}\n'
    quoted = '"' + LINE.replace('"', '\\"').replace("\n", "\\n") + '"'
    log.write_text(wrapped % quoted if "-json" in log.name else LINE)
    env = environment(LOG_INGESTD_LISTEN=f"127.0.0.1:{reserve_port()}") | env
    with Running([PROGRAM], env=env, stderr=open(directory / "said", "w")):
        until("it is healthy", lambda: subprocess.run([PROGRAM, "healthcheck", "--ready"], env=env,
                                                      capture_output=True).returncode == 0)
        until("the line is a row", lambda: urls(env) == ["/asked"])
        said = subprocess.run([PROGRAM, "status"], env=env, text=True, capture_output=True).stdout
        assert env["LOG_INGESTD_HOST"] == "web1" and str(log) in said, said


def main():
    page = Document(ROOT / "deploy/container/README.md")
    for name, file in (("archive", "Containerfile.release"), ("checkout", "Containerfile")):
        built = page.take(name).splitlines()[-1].split()
        assert built[:3] == ["docker", "build", "--file"] and (ROOT / built[3]).name == file, built
        assert (ROOT / built[3]).is_file() and built[4:] == ["--tag", "log-ingestd:0.1.0", "."], built
    for name in ("compose up", "compose query"):
        assert "docker compose -f deploy/container/compose.yaml " in page.take(name), name
    for name in ("directory", "postgres", "standard output"):
        command, *rest = page.take(name).replace("\\\n", " ").splitlines()
        options, image = parsed(command)
        assert image == ["log-ingestd:0.1.0"], image
        assert rest in ([], ["docker exec log-ingestd /log-ingestd status"]), rest
        directory = Path(tempfile.mkdtemp(prefix="log-ingestd-container-"))
        play(options, directory)
        shutil.rmtree(directory)
    page.is_done()
    print("   container/README.md: its three daemons started as plain processes, a line stored by each", flush=True)


if __name__ == "__main__":
    main()
