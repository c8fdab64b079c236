"""A machine with a real systemd: PID 1 in namespaces of its own, over this machine's /usr.

Its /usr is this machine's with a layer above it that is in memory; /etc is made from few files, so
that no service of this machine starts there; /var is empty. It has a network of its own with
loopback alone, and its own tree of control groups. What is done in it leaves nothing.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What the machine gets of this one's /etc.
ETC = (
    "alternatives bash.bashrc ca-certificates.conf debian_version dpkg group gshadow ld.so.cache "
    "ld.so.conf ld.so.conf.d localtime login.defs logrotate.conf man_db.conf nsswitch.conf pam.d passwd "
    "profile shadow ssl timezone"
)

SETUP = r"""
set -euo pipefail
scratch=$1
root=$scratch/root
mkdir -p "$root"/{etc/systemd/system,etc/default,etc/apt/{apt.conf.d,preferences.d,sources.list.d},usr,var,run,tmp,proc,sys,dev,root,home,old} "$scratch"/{up,work}
mount -t overlay overlay -o "lowerdir=/usr,upperdir=$scratch/up,workdir=$scratch/work" "$root/usr"
rm -f "$root/usr/sbin/policy-rc.d" # an image for containers starts no services with its packages
for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
for name in %ETC%; do [[ ! -e /etc/$name ]] || cp -a "/etc/$name" "$root/etc/"; done
echo machine >"$root/etc/hostname"
echo '127.0.0.1 localhost machine' >"$root/etc/hosts"
: >"$root/etc/machine-id"
mkdir -p "$root"/var/{lib,log,cache/apt/archives/partial,tmp,spool,lib/apt/lists/partial}
chmod 1777 "$root/var/tmp"
cp -a /var/lib/dpkg "$root/var/lib/"
ln -s /run "$root/var/run"
ln -s /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
for unit in getty.target systemd-logind.service systemd-networkd.service systemd-resolved.service \
    systemd-timesyncd.service systemd-firstboot.service; do
    ln -s /dev/null "$root/etc/systemd/system/$unit"
done
mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root"/dev/{pts,shm}
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
hostname machine
ip link set lo up 2>/dev/null || ifconfig lo up
cd "$root"
pivot_root . old
umount -l /old
mount --make-rshared / # systemd leaves that to the maker of the container; credentials need it
exec env -i container=log-ingestd PATH=/usr/sbin:/usr/bin /usr/lib/systemd/systemd \
    --log-target=journal --show-status=0 --unit=multi-user.target
"""

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "SYSTEMD_PAGER": "",
    "SYSTEMD_COLORS": "0",
}


def cannot_boot():
    """Why there can be no such machine here; None if there can."""
    if os.geteuid() != 0:
        return "who runs this is not root"
    if not Path("/usr/lib/systemd/systemd").exists():
        return "systemd is not installed"
    if not Path("/usr/bin/dpkg").exists():
        return "this is not Debian"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup"]
        + ["--propagation", "private", "bash", "-c", "mount -t cgroup2 cgroup2 /mnt && mkdir /mnt/log-ingestd-probe"
           " && rmdir /mnt/log-ingestd-probe && mount -t tmpfs tmpfs /mnt && mkdir /mnt/{up,work,all}"
           " && mount -t overlay overlay -o lowerdir=/usr,upperdir=/mnt/up,workdir=/mnt/work /mnt/all"],
        capture_output=True, text=True,
    )
    return f"no namespaces: {tried.stderr.strip()}" if tried.returncode else None


class Failed(Exception):
    """Something in the machine was not as it should be."""


class Machine:
    """Booted when entered, gone when left."""

    def __enter__(self):
        self.scratch = Path(tempfile.mkdtemp(prefix="log-ingestd-machine-"))
        setup = self.scratch / "setup"
        setup.write_text(SETUP.replace("%ETC%", ETC))
        (self.scratch / "cgroup").mkdir()
        (self.scratch / "memory").mkdir()
        # The outer shell makes a group of its own, so that the machine's tree begins there.
        outer = r"""
            set -e
            mount -t cgroup2 cgroup2 "$1/cgroup"
            mkdir "$1/cgroup/$2"
            echo $$ >"$1/cgroup/$2/cgroup.procs"
            mount -t tmpfs tmpfs "$1/memory"
            exec unshare --mount --propagation private --pid --fork --kill-child --uts --ipc --net --cgroup \
                bash "$1/setup" "$1/memory"
        """
        self.group = self.scratch.name
        self.log = open(self.scratch / "boot.log", "w")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "bash", "-c", outer, "bash"]
            + [str(self.scratch), self.group],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True,
        )
        try:
            self.pid = self._first_process()
            self.until("systemd is up", lambda: self.boot_state() in ("running", "degraded"))
        except BaseException:
            print((self.scratch / "boot.log").read_text(), file=sys.stderr)
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            # The end of PID 1 is the end of all.
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._remove_group()
        self.log.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _remove_group(self):
        remove = (
            'mount -t cgroup2 cgroup2 "$1/cgroup" && cd "$1/cgroup" && test -d "$2" || exit 0;'
            ' echo 1 >"$2/cgroup.kill"; for _ in $(seq 100); do'
            ' find "$2" -depth -type d -exec rmdir {} \\; 2>/dev/null; test -d "$2" || exit 0; sleep 0.05; done; exit 1'
        )
        subprocess.run(["unshare", "--mount", "--propagation", "private", "bash", "-c", remove, "bash",
                        str(self.scratch), self.group], check=True)

    def _first_process(self):
        """systemd, as this machine numbers it: the only child of the process that made its namespaces."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            found = children.read_text().split()
            if found and Path(f"/proc/{found[0]}/comm").read_text().strip() == "systemd":
                return found[0]
            time.sleep(0.05)
        raise Failed("systemd did not start")

    def boot_state(self):
        return self.ask("systemctl is-system-running", check=False).strip()

    def start(self, command, **options):
        """Starts a shell command in the machine."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup"]
        return subprocess.Popen(enter + ["bash", "-c", f"cd /root\n{command}"], env=ENVIRONMENT, text=True,
                                **options)

    def ask(self, command, check=True, given=""):
        """Runs a shell command in the machine; what it printed, standard error too."""
        process = self.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = process.communicate(given)
        if check and process.returncode:
            raise Failed(f"exit code {process.returncode}: {command}\n{out}")
        return out

    def path(self, name):
        """Where a file of the machine is for this process."""
        return Path(f"/proc/{self.pid}/root") / name.lstrip("/")

    def until(self, what, condition, patience=60):
        """Waits for a condition."""
        end = time.monotonic() + patience
        while not condition():
            if time.monotonic() > end:
                raise Failed(f"waited in vain until {what}")
            time.sleep(0.05)
