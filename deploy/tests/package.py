"""What deploy/release makes, and what a Debian package must be."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "target/tools"
# How the program is compiled: `dev`, which the other tests have compiled already, or `dist`, as people get it.
PROFILE = os.environ.get("LOG_INGESTD_PROFILE", "dev")


def run(*command, **options):
    """Runs a command that must succeed; its standard output."""
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def release(commands):
    """The directory of a release's files, made by the commands of the page."""
    if PROFILE != "dist":
        commands = commands.replace("deploy/release", f"deploy/release --profile {PROFILE}")
    said = run("bash", "-ec", commands, cwd=ROOT)
    print("\n".join(line for line in said.splitlines() if line.startswith("   ")), flush=True)
    return ROOT / "target" / {"dist": "release-files"}.get(PROFILE, f"release-files-{PROFILE}")


def rebuild(revision):
    """The package again with this Debian revision, for an upgrade."""
    target = ["--target", f"{os.uname().machine}-unknown-linux-gnu"] if PROFILE == "dist" else []
    made = run("cargo", "deb", "--profile", PROFILE, *target, "--no-build", "--fast", "--quiet", "--deb-revision",
               revision, "--output", f"{ROOT}/target/packages/", cwd=ROOT,
               env=os.environ | {"PATH": f"{TOOLS / 'bin'}:{os.environ['PATH']}"})
    return Path(made.strip().splitlines()[-1])


def check(package):
    """Sane, and complete."""
    fields = dict(line.split(": ", 1) for line in run("dpkg-deb", "--field", package).splitlines()
                  if re.match(r"[A-Z][A-Za-z-]*: ", line))
    assert fields["Package"] == "log-ingestd" and fields["Section"] == "admin", fields
    assert re.search(r"\blibc6 \(>= ", fields["Depends"]), fields
    assert run("dpkg-deb", "--info", package, "conffiles").split() == ["/etc/log-ingestd/config.toml"]
    rights = {}
    for line in run("dpkg-deb", "--contents", package).splitlines():
        mode, owner, _, _, _, name = line.split(None, 5)
        assert owner == "0/0", line
        assert mode[5] == mode[8] == "-" and "s" not in mode, line
        rights[name.removeprefix(".")] = mode
    pages = [name for name in rights if name.startswith("/usr/share/man/man1/") and name.endswith(".1.gz")]
    assert len(pages) == len(list((ROOT / "deploy/man").glob("*.1"))) > 5, pages
    share = "/usr/share"
    for name, mode in {
        "/usr/bin/log-ingestd": "-rwxr-xr-x",
        "/etc/log-ingestd/config.toml": "-rw-r-----",
        "/usr/lib/systemd/system/log-ingestd.service": "-rw-r--r--",
        f"{share}/man/man1/log-ingestd.1.gz": "-rw-r--r--",
        f"{share}/bash-completion/completions/log-ingestd": "-rw-r--r--",
        f"{share}/zsh/vendor-completions/_log-ingestd": "-rw-r--r--",
        f"{share}/fish/vendor_completions.d/log-ingestd.fish": "-rw-r--r--",
        f"{share}/doc/log-ingestd/copyright": "-rw-r--r--",
        f"{share}/doc/log-ingestd/README.md": "-rw-r--r--",
        **{f"{share}/doc/log-ingestd/deploy/docs/{page.name}": "-rw-r--r--" for page in (ROOT / "deploy/docs").iterdir()},
        f"{share}/doc/log-ingestd/examples/logrotate/gunicorn-create": "-rw-r--r--",
    }.items():
        assert rights.get(name) == mode, (name, rights.get(name))
    unit = (ROOT / "deploy/systemd/log-ingestd.service").read_text()
    for page in re.findall(r"file://(/\S+)", unit):
        assert page in rights, page
    top = {name.split("/")[1] for name in rights if name.strip("/")}
    assert top == {"etc", "usr"}, top
    for name, mode in rights.items():
        executable = mode.startswith("-") and "x" in mode
        assert not executable or name == "/usr/bin/log-ingestd", name
    for script in ("postinst", "prerm", "postrm"):
        text = run("dpkg-deb", "--info", package, script)
        assert text.startswith("#!/bin/sh\n") and "#DEBHELPER#" not in text, text
        run("sh", "-n", input=text)
