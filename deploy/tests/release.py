"""The files that deploy/release made: the wheel installed into an empty environment without Rust, to the
first row; the package, the archive, the SBOM and the checksums.

    release.py DIRECTORY

LOG_INGESTD_PROFILE says how the program was compiled: `dev` in a trial, `dist` for others.
"""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path

import package
from services import ROOT, Running, reserve_port, until

IS_TRIAL = package.PROFILE != "dist"
MOST_BYTES = 12_000_000
MOST_SECONDS = 60
LINE = '127.0.0.1 - - [{}] "GET /first HTTP/1.1" 200 2 "-" "curl/8"\n'


def told(words):
    print(f"   {words}", flush=True)


def only(directory, pattern):
    found = list(directory.glob(pattern))
    assert len(found) == 1, (pattern, found)
    return found[0]


def crate():
    with open(ROOT / "Cargo.toml", "rb") as file:
        return tomllib.load(file)["package"]


def check_wheel(wheel):
    """What its metadata says, and what is in it."""
    name, version, python, abi, platform = wheel.name.removesuffix(".whl").split("-")
    assert (name, python, abi) == ("log_ingestd", "py3", "none") and version == crate()["version"], wheel.name
    tags = set(platform.split("."))
    machine = os.uname().machine
    assert tags == ({f"linux_{machine}"} if IS_TRIAL else {f"manylinux_2_17_{machine}", f"manylinux2014_{machine}"}), tags
    assert IS_TRIAL or wheel.stat().st_size <= MOST_BYTES, wheel.stat().st_size
    archive = zipfile.ZipFile(wheel)
    about = f"{name}-{version}.dist-info"
    expected = {f"{name}-{version}.data/scripts/log-ingestd", "log_ingestd/__init__.py", "log_ingestd/__main__.py",
                *(f"{about}/{it}" for it in ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE",
                                             "sboms/log-ingestd.cyclonedx.json"))}
    assert set(archive.namelist()) == expected, archive.namelist()
    assert archive.read(f"{about}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    metadata = email.message_from_bytes(archive.read(f"{about}/METADATA"))
    for field, value in {"Name": "log-ingestd", "Version": crate()["version"], "License-Expression": "MIT",
                         "Summary": crate()["description"], "Requires-Python": ">=3.9"}.items():
        assert metadata[field] == value, (field, metadata[field])
    assert "pip install log-ingestd" in metadata.get_payload()
    program = archive.read(f"{name}-{version}.data/scripts/log-ingestd")
    if not IS_TRIAL:
        versions = {tuple(map(int, it.split(b"."))) for it in re.findall(rb"GLIBC_([0-9.]+)\0", program)}
        assert versions and max(versions) <= (2, 17), versions
    told(f"the wheel: {wheel.stat().st_size / 1e6:.1f} MB, {platform}")
    return version


def first_row(directory, version):
    """From an empty environment to the first row, without Rust and without an index of packages."""
    with tempfile.TemporaryDirectory(prefix="log-ingestd-wheel-") as scratch:
        home = Path(scratch)
        (home / "logs").mkdir()
        moment = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        (home / "logs/access.log").write_text(LINE.format(moment))
        # Of the system's programs only what has to be there: Rust may be among the others.
        (home / "bin").mkdir()
        (home / "bin/python3").symlink_to("/usr/bin/python3")
        env = {"PATH": f"{home}/venv/bin:{home}/bin", "HOME": scratch, "LOG_INGESTD_CONFIG": "/dev/null",
               "LOG_INGESTD_LISTEN": f"127.0.0.1:{reserve_port()}"}
        assert not shutil.which("cargo", path=env["PATH"]) and not shutil.which("cc", path=env["PATH"])
        python = home / "venv/bin/python"

        def run(*command):
            return package.run(*command, env=env, cwd=home)

        began = time.monotonic()
        run("/usr/bin/python3", "-m", "venv", "venv")
        run(python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", directory, "log-ingestd")
        with Running([home / "venv/bin/log-ingestd", "--watch", "logs"], env=env, cwd=home,
                     stderr=open(home / "said", "w")):
            ask = ("log-ingestd", "query", "--since", "1h", "--output", "csv")
            until("the line is a row", lambda: "/first" in
                  subprocess.run(ask, env=env, cwd=home, text=True, capture_output=True).stdout)
            took = time.monotonic() - began
        assert took < MOST_SECONDS, took
        told(f"pip install in an empty environment, without Rust: the first row after {took:.1f} s")
        # The module finds the program, and gives way to it.
        assert run(python, "-m", "log_ingestd", "--version") == f"log-ingestd {version}\n"
        wrong = subprocess.run([python, "-m", "log_ingestd", "--retention", "soon", "status"], env=env, cwd=home,
                               text=True, capture_output=True)
        assert wrong.returncode == 2 and "invalid retention 'soon'" in wrong.stderr, wrong
        with Running([python, "-m", "log_ingestd", "--watch", "logs"], env=env, cwd=home,
                     stderr=open(home / "said", "w")) as process:
            def is_program():
                return Path(f"/proc/{process.pid}/exe").resolve() == (home / "venv/bin/log-ingestd").resolve()

            until("Python has given way to the program", is_program)
            until("it follows", lambda: "watching" in (home / "said").read_text())
        # Installed elsewhere than pip's own place.
        run(python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", directory, "--target", "there",
            "log-ingestd")
        found = package.run(python, "-c", "import log_ingestd; print(log_ingestd.find_program())", cwd=home,
                            env=env | {"PYTHONPATH": str(home / "there")})
        assert Path(found.strip()) == home / "there/bin/log-ingestd", found
        told("python -m log_ingestd: the same program, in the place of Python")


def check_archive(path, version):
    """The program, the documents with their paths, and nothing of this machine."""
    name = path.name.removesuffix(".tar.gz")
    assert name.startswith(f"log-ingestd-{version}-"), name
    with tempfile.TemporaryDirectory(prefix="log-ingestd-archive-") as scratch, tarfile.open(path) as archive:
        for member in archive.getmembers():
            assert member.uid == member.gid == 0 and member.name.split("/")[0] == name, member
            assert not member.mode & 0o7022, member
            executable = member.isfile() and member.mode & 0o111
            assert not executable or member.name == f"{name}/log-ingestd", member
        archive.extractall(scratch)
        root = Path(scratch) / name
        readme = (root / "README.md").read_text()
        links = [link.partition("#")[0] for link in re.findall(r"\]\(([^):]+)\)", readme)]
        assert len(links) > 20 and all((root / link).exists() for link in links if link), links
        for part in ("LICENSE", "deploy/docs/install.md", "deploy/systemd/log-ingestd.service",
                     "deploy/systemd/config.toml", "deploy/man/log-ingestd.1", "deploy/completions/_log-ingestd",
                     "deploy/container/Containerfile.release", "deploy/kubernetes/chart/Chart.yaml"):
            assert (root / part).is_file(), part
        assert package.run(root / "log-ingestd", "--version") == f"log-ingestd {version}\n"
        is_static = "INTERP" not in package.run("readelf", "--program-headers", root / "log-ingestd")
        assert is_static or IS_TRIAL
        imported = Path(scratch) / "access.log"
        imported.write_text(LINE.format("24/Nov/2026:08:41:00 +0000"))
        env = {"DATABASE_URL": f"sqlite:{scratch}/rows.sqlite3", "LOG_INGESTD_CONFIG": "/dev/null"}
        assert "1 stored" in package.run(root / "log-ingestd", "import", imported, env=env)
        told(f"the archive: {path.stat().st_size / 1e6:.1f} MB, "
             f"{'one static program' if is_static else 'a program for this machine only'}")


def check_sbom(path, version):
    """Every crate that the program is made of, with its version."""
    sbom = json.loads(path.read_text())
    assert sbom["bomFormat"] == "CycloneDX" and sbom["specVersion"] >= "1.5", sbom["specVersion"]
    assert (sbom["metadata"]["component"]["name"], sbom["metadata"]["component"]["version"]) == (
        "log-ingestd", version)
    listed = {(it["name"], it["version"]) for it in sbom["components"]}
    tree = package.run("cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}",
                       "--target", f"{os.uname().machine}-unknown-linux-gnu", cwd=ROOT)
    used = {tuple(re.match(r"(\S+) v(\S+)", line).groups()) for line in tree.splitlines() if line.strip()}
    used.discard(("log-ingestd", version))
    assert len(used) > 100 and used <= listed, sorted(used - listed)
    assert all(it["licenses"] for it in sbom["components"] if (it["name"], it["version"]) in used)
    told(f"the SBOM: {len(listed)} components, each crate of the program among them")


def main():
    directory = Path(sys.argv[1]).resolve()
    version = check_wheel(only(directory, "*.whl"))
    first_row(directory, version)
    deb = only(directory, "*.deb")
    package.check(deb)
    told(f"the package: {deb.stat().st_size / 1e6:.1f} MB, complete and sane")
    check_archive(only(directory, "*.tar.gz"), version)
    check_sbom(only(directory, "*.cyclonedx.json"), version)
    package.run("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS", cwd=directory)
    named = {line.split()[1] for line in (directory / "SHA256SUMS").read_text().splitlines()}
    assert named == {path.name for path in directory.iterdir()} - {"SHA256SUMS"}, named
    told(f"SHA256SUMS: {len(named)} files")
    if not IS_TRIAL:
        subprocess.run([sys.executable, ROOT / "deploy/tests/image.py", only(directory, "*.tar.gz")], check=True,
                       env=os.environ)


if __name__ == "__main__":
    main()
