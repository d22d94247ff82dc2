"""Disks that a run may spoil: a tmpfs, an ext4 file system in a file that loses power, byte flips,
system calls that fail. All of it undone by the lab's cleaners.
"""

import errno
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import time

from lab import Failed, Skip, command, eventually

SHUTDOWN = 0x8004587D       # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN: the same number
NO_LOG_FLUSH = 2            # as if the plug were pulled: the journal is not written either


def need_root(*programs):
    """These runs mount file systems, trace processes or make network namespaces."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    for program in programs:
        if shutil.which(program) is None and not os.path.exists(f"/usr/sbin/{program}"):
            raise Skip(f"needs {program}")


class Mount:
    """A file system of our own, unmounted at the end of the run."""

    def __init__(self, lab, name):
        self.path = os.path.join(lab.directory, name)
        os.mkdir(self.path)
        self.mounted = False
        lab.cleaners.append(self.unmount)

    def mount(self, *argv):
        """mount ARGV PATH."""
        command("mount", *argv, self.path)
        self.mounted = True

    def unmount(self):
        """Detached lazily when something still holds it: cleaning up must not hang."""
        if self.mounted:
            self.mounted = False
            if subprocess.run(["umount", self.path], capture_output=True, check=False).returncode:
                command("umount", "-l", self.path, check=False)


class Tmpfs(Mount):
    """A file system of a fixed size in memory."""

    def __init__(self, lab, megabytes):
        need_root("mount")
        super().__init__(lab, "tmpfs")
        try:
            self.mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs")
        except Failed as error:
            raise Skip(f"no tmpfs: {error}") from None
        self.filler = os.path.join(self.path, "filler")

    def fill(self):
        """Somebody else's file takes all the room that is left, to the last block."""
        size, piece = 0, 1 << 20
        with open(self.filler, "wb", buffering=0) as file:
            while piece >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), size, piece)
                    size += piece
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    piece //= 2

    def empty(self):
        """And gives it back."""
        os.remove(self.filler)


class PowerDisk(Mount):
    """ext4 in a file, whose power can be cut: what was not synced is gone."""

    def __init__(self, lab, megabytes):
        need_root("mkfs.ext4", "mount", "losetup")
        super().__init__(lab, "disk")
        self.image = os.path.join(lab.directory, "disk.image")
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        command("/usr/sbin/mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", self.image)
        try:
            self.on()
        except Failed as error:
            raise Skip(f"no loop device: {error}") from None

    def on(self):
        """Power: the file system's own journal is replayed."""
        self.mount("-o", "loop", self.image)

    def cut(self):
        """No power: every write from now on fails, unsynced ones are forgotten."""
        directory = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        except OSError as error:
            raise Skip(f"the file system knows no shutdown: {error}") from None
        finally:
            os.close(directory)

    def off(self):
        """Takes the dead file system away. A mount namespace that was made meanwhile (by `ip netns
        exec`) has a copy of the mount: while that lives, so does the dead file system."""
        self.mounted = False
        command("umount", self.path)
        eventually(lambda: self.image not in command("losetup", "-j", self.image),
                   f"nobody holds {self.image} any more", 60, 0.02)


class Injection:
    """strace makes one kind of system call of a running process fail, from the next one on."""

    def __init__(self, lab, pid, call, error):
        need_root("strace")
        self.path = os.path.join(lab.directory, f"strace.{call}")
        self.popen = subprocess.Popen(
            ["strace", "-f", "-q", "-o", self.path, "-e", f"trace={call}",
             "-e", f"inject={call}:error={error}:when=1+", "-p", str(pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        lab.started.append(self.popen)
        time.sleep(0.3)
        if self.popen.poll() not in (None, 0):
            text = self.popen.stderr.read().decode(errors="replace").strip()
            if "No such process" not in text:
                raise Skip(f"strace cannot attach: {text}")

    def hits(self):
        """How many calls were made to fail."""
        try:
            with open(self.path, encoding="utf-8", errors="replace") as file:
                return file.read().count("(INJECTED)")
        except FileNotFoundError:
            return 0

    def end(self):
        """Lets the process go on as it is."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGINT)
            self.popen.wait()
        self.popen.stderr.close()


def flip(path, offset, mask):
    """Changes bits of one byte of a file at rest."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


def copy_directory(source, target):
    """A copy whose blocks of zeros take no room."""
    shutil.rmtree(target, ignore_errors=True)
    command("cp", "-a", "--sparse=always", source, target)
