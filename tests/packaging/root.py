"""A root of Debian: programs run in it with processes, devices and a loopback interface of their own."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

# Mounts end with the namespace, and with the first process all others.
ENTER = """
mount -t proc proc "$0/proc"
mount --rbind /sys "$0/sys"
mount -t tmpfs -o mode=755 dev "$0/dev"
mkdir "$0/dev/pts" "$0/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 pts "$0/dev/pts"
ln -s pts/ptmx "$0/dev/ptmx"
for device in null zero full random urandom tty; do
    touch "$0/dev/$device"; mount --bind "/dev/$device" "$0/dev/$device"
done
ip link set lo up
exec chroot "$0" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
"""


class Root:
    """One, in a folder."""

    def __init__(self, place: Path) -> None:
        """`place` holds it."""
        self.place = place

    def run(self, script: str, *, code: int = 0, user: str = "", environment: Mapping[str, str] | None = None) -> str:
        """Run a shell script and return what it prints, on both of its outputs; it has to end with `code`.

        `user` is USER:GROUP, in numbers.
        """
        command = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--net",
            "sh",
            "-ec",
            ENTER,
            str(self.place),
        ]
        command += [f"{name}={value}" for name, value in (environment or {}).items()]
        if user:
            number, _, group = user.partition(":")
            command += ["setpriv", f"--reuid={number}", f"--regid={group}", "--clear-groups"]
        done = subprocess.run(
            [*command, "sh", "-ec", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, f"{script}\nended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def path(self, name: str) -> Path:
        """Where a file of it is, seen from outside."""
        return self.place / name.lstrip("/")

    def bring(self, file: Path) -> str:
        """Put a file into its /root, and return its path in there."""
        shutil.copy(file, self.path("/root"))
        return f"/root/{file.name}"

    def files(self, name: str) -> set[str]:
        """Everything in it that has `name` in its own name, byte code left out; /root is ours."""
        script = f"find / -xdev -path /root -prune -o -path /proc -prune -o -name '*{name}*' ! -name '*.pyc' -print"
        return set(self.run(script).split())
