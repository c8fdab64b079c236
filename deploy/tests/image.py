"""deploy/container/Containerfile, really built by buildah, and what is in it run where nothing else is.

    image.py              compiles the program
    image.py ARCHIVE      takes it from a released archive, by Containerfile.release

No registry is asked: the image that it builds upon is made from this machine, by the name that the file
gives it. What cargo compiles stays in target/container.
"""

import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from services import ROOT, environment, until

FILE = ROOT / "deploy/container/Containerfile"
OF_RELEASE = FILE.with_suffix(".release")
TARGET = ROOT / "target/container"
PROFILE = os.environ.get("LOG_INGESTD_PROFILE", "dev")
MOST_BYTES = 30 << 20
LINE = '127.0.0.1 - - [24/Nov/2026:08:41:00 +0000] "GET /{} HTTP/1.1" 200 2 "-" "curl/8"\n'


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout.strip()


def buildah(store, *arguments, **options):
    return run("buildah", "--root", store / "root", "--runroot", store / "run", "--storage-driver", "vfs",
               *arguments, **options)


def base(store, name):
    """This machine's /usr and Rust, mounted when it is used: the image itself is nearly empty."""
    container = buildah(store, "from", "scratch")
    root = Path(buildah(store, "mount", container))
    for directory in ("etc/ssl/certs", "proc", "sys", "dev", "tmp", "root", "usr/local", "var/tmp"):
        (root / directory).mkdir(parents=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    for path in ("alternatives", "ld.so.cache", "passwd", "group", "ssl/certs/ca-certificates.crt"):
        source = Path("/etc") / path
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, root / "etc" / path, **({"symlinks": True} if source.is_dir() else {}))
    buildah(store, "config", "--env", "RUSTUP_HOME=/opt/rustup", "--env", "CARGO_HOME=/opt/cargo",
            "--env", f"RUSTUP_TOOLCHAIN={toolchain()}", "--env", "CARGO_NET_OFFLINE=true",
            "--env", "PATH=/opt/cargo/bin:/usr/bin:/usr/sbin", container)
    buildah(store, "commit", "--quiet", container, name)


def toolchain():
    return run("rustup", "show", "active-toolchain", cwd=ROOT).split()[0]


def homes():
    rustup = os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))
    cargo = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
    return rustup, cargo


def stages(file):
    """The text, and the image that it builds upon. Both files make the same image."""
    text = file.read_text()
    names = re.findall(r"^FROM (\S+)", text, re.M)
    assert names[-1] == "scratch" and len(names) == 2, names
    last = [it.read_text().split("FROM scratch\n")[1] for it in (FILE, OF_RELEASE)]
    assert last[0] == last[1], "the last stages differ"
    return text, names[0]


def build_of_release(store, archive):
    """The same from an archive, as README.md says."""
    _, name = stages(OF_RELEASE)
    base(store, name)
    run("tar", "-xf", archive, "-C", store)
    [directory] = [path for path in store.iterdir() if path.name.startswith("log-ingestd-")]
    file = directory / OF_RELEASE.relative_to(ROOT)
    buildah(store, "build", "--isolation", "chroot", "--pull-never", "--quiet", "--volume", "/usr:/usr:ro",
            "--file", file, "--format", "docker", "--tag", "log-ingestd", directory)
    return mounted(store)


def build(store):
    """The root of the image, and its configuration."""
    text, name = stages(FILE)
    base(store, name)
    file = store / "Containerfile"
    directory = {"dev": "debug"}.get(PROFILE, PROFILE)
    if PROFILE != "dist":
        for old, new in (("--profile dist", f"--profile {PROFILE}"), ("target/dist/", f"target/{directory}/")):
            assert old in text, old
            text = text.replace(old, new)
    file.write_text(text)
    TARGET.mkdir(parents=True, exist_ok=True)  # of its own: paths differ in there, and so do fingerprints
    rustup, cargo = homes()
    volumes = {"/usr": "/usr:ro", rustup: "/opt/rustup:ro", cargo: "/opt/cargo", str(TARGET): "/src/target"}
    mounts = [word for here, there in volumes.items() for word in ("--volume", f"{here}:{there}")]
    buildah(store, "build", "--isolation", "chroot", "--pull-never", "--quiet", *mounts, "--file", file,
            "--ignorefile", ROOT / ".dockerignore", "--format", "docker", "--tag", "log-ingestd", ROOT)
    return mounted(store)


def mounted(store):
    """The root of the built image, whose configuration is right."""
    container = buildah(store, "from", "--pull-never", "log-ingestd")
    template = "{{.Docker.Config.User}} {{.Docker.Config.Entrypoint}} {{.Docker.Config.Healthcheck.Test}}"
    said = buildah(store, "inspect", "--type", "image", "--format", template, "log-ingestd")
    assert said == "65532:65532 [/log-ingestd] [CMD /log-ingestd healthcheck]", said
    return Path(buildah(store, "mount", container))


def check(root):
    """One program, no shell, nothing dynamic, not large."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    executable = [path for path in files if path.stat().st_mode & 0o111]
    assert executable == [root / "log-ingestd"], executable
    top = {str(path.relative_to(root)) for path in files if "zoneinfo" not in str(path)}
    assert top == {"log-ingestd", "etc/ssl/certs/ca-certificates.crt"}, top
    assert "INTERP" not in run("readelf", "--program-headers", root / "log-ingestd")
    assert not any(path.stat().st_mode & 0o6000 for path in files)
    size = sum(path.stat().st_size for path in files)
    assert PROFILE != "dist" or size < MOST_BYTES, size
    return size


class Names(threading.Thread):
    """DNS for one name."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))

    def run(self):
        while True:
            question, asker = self.socket.recvfrom(512)
            end = 12
            while question[end]:
                end += question[end] + 1
            known = question[12:end] == b"\x03dns\x07example"
            address = known and question[end + 1:end + 3] == b"\0\1"
            answer = question[:2] + (b"\x81\x80" if known else b"\x81\x83") + struct.pack(">4H", 1, address, 0, 0)
            answer += question[12:end + 5]
            if address:
                answer += b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton("127.0.0.1")
            self.socket.sendto(answer, asker)


def inside(root):
    """In a network of its own: as PID 1, as nobody, in a root that has nothing else."""
    run("ip", "link", "set", "lo", "up")
    Names().start()
    bin_ = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    work = Path(tempfile.mkdtemp(prefix="log-ingestd-image-"))
    secret = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
              "-keyout", work / "key", "-out", work / "certificate", "-addext",
              "subjectAltName=DNS:dns.example,DNS:hosts.example", "-addext", "basicConstraints=CA:FALSE"]
    subprocess.run(secret, check=True, stderr=subprocess.DEVNULL)
    with open(root / "etc/ssl/certs/ca-certificates.crt", "a") as roots:
        roots.write((work / "certificate").read_text())
    subprocess.run(["chown", "-R", "postgres", work], check=True)
    drop = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    (work / "password").write_text("secret")
    run(*drop, bin_ / "initdb", "--pgdata", work / "data", "--username", "logs", "--auth", "scram-sha-256",
        "--pwfile", work / "password", "--no-sync", cwd=work)
    said = open(work / "said", "w")
    server = subprocess.Popen([*drop, bin_ / "postgres", "-D", work / "data", "-c", "ssl=on", "-c", "fsync=off",
                               "-c", f"ssl_cert_file={work}/certificate", "-c", f"ssl_key_file={work}/key",
                               "-c", f"unix_socket_directories={work}"], cwd=work, stdout=said, stderr=said)
    try:
        until("PostgreSQL is up", lambda: subprocess.run([bin_ / "pg_isready", "-qh", "127.0.0.1"]).returncode == 0)
        subprocess.run([bin_ / "createdb", "-h", "127.0.0.1", "-U", "logs", "logs"], check=True,
                       env=environment(PGPASSWORD="secret"))
        (root / "dev").mkdir(exist_ok=True)
        for number, name in ((3, "null"), (5, "zero"), (8, "random"), (9, "urandom")):  # as every runtime gives
            os.mknod(root / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(1, number))
            (root / "dev" / name).chmod(0o666)
        (root / "etc/hosts").write_text("127.0.0.1 hosts.example\n")
        (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
        (root / "logs/access.log").write_text(LINE.format("first"))
        for name in ("hosts", "dns"):
            serve(root, f"postgres://logs:secret@{name}.example:5432/logs?sslmode=verify-full", name)
        used = run(bin_ / "psql", "-h", "127.0.0.1", "-U", "logs", "-Atc", "SELECT url FROM gunicorn_log ORDER BY 1",
                   "logs", env=environment(PGPASSWORD="secret"))
        assert used.split() == ["/dns", "/first", "/hosts"], used
        refused = once(root, "status", DATABASE_URL="postgres://logs@other.example/logs", check=False)
        assert "failed to lookup address" in refused, refused
        refused = once(root, "status", check=False,
                       DATABASE_URL="postgres://logs:secret@127.0.0.1:5432/logs?sslmode=verify-full")
        assert "certificate" in refused, refused
        serve(root, None, "sqlite")
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
        shutil.rmtree(work)


def image_environment(url):
    env = {"LOG_INGESTD_WATCH": "/logs", "STATE_DIRECTORY": "/var/lib/log-ingestd", "LOG_INGESTD_HOST": "image",
           "LOG_INGESTD_SWEEP_AT": "03:30", "TZ": "Asia/Kolkata"}
    return env | ({"DATABASE_URL": url} if url else {})


def chroot(root, *arguments):
    return ["/usr/sbin/chroot", "--userspec", "65532:65532", root, "/log-ingestd", *arguments]


def once(root, *arguments, check=True, **variables):
    made = subprocess.run(chroot(root, *arguments), env=image_environment(None) | variables, text=True,
                          capture_output=True)
    assert not check or made.returncode == 0, made.stderr
    return made.stdout + made.stderr


def serve(root, url, word):
    """The daemon as PID 1: a line, its row, its health, SIGTERM."""
    env = image_environment(url)
    log = tempfile.TemporaryFile("w+")
    first = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", *map(str, chroot(root))],
                             env=env | {"PATH": os.environ["PATH"]}, stdout=log, stderr=log)
    try:
        def healthy():
            assert first.poll() is None, log.seek(0) or log.read()
            return subprocess.run(chroot(root, "healthcheck", "--ready"), env=env, capture_output=True).returncode == 0

        until("it is ready", healthy)
        with open(root / "logs/access.log", "a") as lines:
            lines.write(LINE.format(word))
        asked = ("query", "--since", "2000-01-01", "--output", "csv", "--url", f"/{word}")
        until("the line is a row", lambda: f"/{word}" in once(root, *asked, **env))
        if url is None:
            # The next sweep, in local time: half past three in Kolkata is ten at night, UTC.
            assert "22:00:00" in once(root, "status", **env), once(root, "status", **env)
    finally:
        child = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        began = time.monotonic()
        for pid in child:
            os.kill(int(pid), signal.SIGTERM)
        code = first.wait(timeout=30)
    assert code == 0 and child, (code, log.seek(0) or log.read())
    assert time.monotonic() - began < 10


def cannot_build():
    if os.geteuid() != 0:
        return "who runs this is not root"
    if not shutil.which("buildah"):
        return "buildah is not installed"
    return None


def main(archive):
    if why := cannot_build():
        print(f"image.py: NOT RUN, the image was not built: {why}", flush=True)
        return
    store = Path(tempfile.mkdtemp(prefix="log-ingestd-buildah-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    try:
        root = build_of_release(store, archive) if archive else build(store)
        size = check(root)
        print(f"   {(OF_RELEASE if archive else FILE).name}: built ({PROFILE}), {size / 1e6:.1f} MB, one static program", flush=True)
        subprocess.run(["unshare", "--net", sys.executable, __file__, "inside", root], check=True)
        print("   the image: names by hosts and DNS, TLS by its own roots, time zones, PID 1, health, SIGTERM",
              flush=True)
    finally:
        buildah(store, "rm", "--all")
        shutil.rmtree(store, ignore_errors=True)


if __name__ == "__main__":
    inside(Path(sys.argv[2])) if sys.argv[1:2] == ["inside"] else main(sys.argv[1] if sys.argv[1:] else None)
