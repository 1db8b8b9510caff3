# Networks of their own for a test, joined by virtual cables, in which packets get lost; made and
# removed here. Sockets are made in them by this program itself, since a thread may enter one.
import ctypes
import itertools
import os
import shutil
import socket

import harness
from verdicts import NotHere

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


def ip(*words):
    return harness.run("ip", *words)


class Space:
    """A network namespace."""

    def __init__(self):
        self.name = f"torture-{os.getpid()}-{next(_numbers)}"
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")

    def remove(self):
        harness.run("ip", "netns", "del", self.name, wanted=None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    @property
    def wrapper(self):
        """What starts a program in it."""
        return ("nsenter", f"--net=/run/netns/{self.name}")

    def run(self, *words, wanted=0):
        return harness.run(*self.wrapper, *words, wanted=wanted)

    def socket(self):
        """A TCP socket that belongs to it, whoever uses it."""
        with open("/proc/thread-self/ns/net", "rb") as own, \
                open(f"/run/netns/{self.name}", "rb") as there:
            enter(there.fileno())
            try:
                return socket.socket()
            finally:
                enter(own.fileno())

    # Packets.

    def drop(self):
        """From now on it hears nothing and says nothing: a host that has vanished."""
        for chain in ("INPUT", "OUTPUT"):
            self.run("iptables", "-w", "-I", chain, "-j", "DROP")

    def drop_to(self, address):
        """Nothing that is sent to this address gets in."""
        self.run("iptables", "-w", "-I", "INPUT", "-d", address, "-j", "DROP")

    def lose(self, share):
        """Each packet that comes in is lost with this probability."""
        self.run("iptables", "-w", "-I", "INPUT", "-p", "tcp", "-m", "statistic", "--mode",
                 "random", "--probability", str(share), "-j", "DROP")

    def heal(self):
        for chain in ("INPUT", "OUTPUT"):
            self.run("iptables", "-w", "-F", chain)

    def set(self, name, value):
        self.run("sh", "-c", f"echo '{value}' >/proc/sys/{name}")


def enter(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Path:
    """Client, sidecar and target, each a host: 10.77.1.1 - 10.77.1.2, 10.77.2.2 - 10.77.2.1."""

    CLIENT, NEAR, FAR, TARGET = "10.77.1.1", "10.77.1.2", "10.77.2.2", "10.77.2.1"

    def __init__(self, more_targets=()):
        self.client, self.middle, self.target = self.all = Space(), Space(), Space()
        try:
            self._join(self.client, self.CLIENT, self.NEAR, "c")
            self._join(self.target, self.TARGET, self.FAR, "t")
            for address in more_targets:
                ip("-n", self.target.name, "address", "add", f"{address}/24", "dev", "t0")
            self._route()
        except BaseException:
            self.remove()
            raise

    def _join(self, space, address, middle, name):
        ip("-n", space.name, "link", "add", f"{name}0", "type", "veth", "peer", "name",
           f"{name}1", "netns", self.middle.name)
        for where, one, device in ((space, address, f"{name}0"), (self.middle, middle, f"{name}1")):
            ip("-n", where.name, "address", "add", f"{one}/24", "dev", device)
            ip("-n", where.name, "link", "set", device, "up")

    def _route(self):
        """Past the sidecar: for what is to be compared with it."""
        self.middle.set("net/ipv4/ip_forward", 1)
        ip("-n", self.client.name, "route", "add", "default", "via", self.NEAR)
        ip("-n", self.target.name, "route", "add", "default", "via", self.FAR)

    def remove(self):
        for space in self.all:
            space.remove()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    @property
    def from_client(self):
        """For connections from the client's host to the sidecar."""
        return {"make": self.client.socket, "address": self.NEAR}

    @property
    def past(self):
        """For connections from the client's host to the target itself."""
        return {"make": self.client.socket, "address": self.TARGET}

    def shape(self, *words):
        """The target's cable, both ways, by tc(8); NotHere where the kernel lacks it."""
        for space, device in ((self.target, "t0"), (self.middle, "t1")):
            said = space.run("tc", "qdisc", "replace", "dev", device, "root", *words, wanted=None)
            if said.code != 0:
                raise NotHere(f"this kernel has no tc {words[0]}: {said.errors.strip()}")


def with_files(space, **files):
    """A wrapper in which these files of /etc are others: hosts="…"."""
    folder = harness.folder()
    os.chmod(folder, 0o755)
    script = ""
    for name, text in files.items():
        name = name.replace("_", ".")
        with open(f"{folder}/{name}", "w", encoding="ascii") as file:
            file.write(text)
        script += f"mount --bind {folder}/{name} /etc/{name} && "
    inside = space.wrapper if space else ()
    return (*inside, "unshare", "--mount", "sh", "-c", script + 'exec "$@"', "sh")


def missing():
    """Why there are no network namespaces to be had here, if so."""
    for tool in ("ip", "iptables", "nsenter", "tc"):
        if not shutil.which(tool):
            return f"{tool} is missing"
    if os.geteuid() != 0:
        return "network namespaces: only root may make them"
    try:
        with Path() as path:
            path.target.drop()
            path.client.socket().close()
        return None
    except (AssertionError, OSError) as error:
        return f"network namespaces: {str(error).strip()[-200:]}"
