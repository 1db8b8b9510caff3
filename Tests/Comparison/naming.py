# A target's name that moves to another address, as a database's endpoint does in a failover. All
# forwarders ask the same name server, a dnsmasq, by a resolv.conf of their own; wants root.
import os
import random
import signal
import socket
import time

import harness
from scene import PATIENCE, Echo, Scene, asks

NAME = "db.test"
TTL = 1
PROMPT, LATEST = 3, 6  # seconds: after twice the TTL and some; what comes later is not waited for
ADDRESSES = ("127.0.0.1", "127.0.0.2")
# The resolv.conf is seen by the forwarder alone.
BESIDE = 'mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"'


class NameServer:
    """Of one name, with one address at a time."""

    def __init__(self):
        self.folder = harness.folder()
        os.chmod(self.folder, 0o755)
        self.address = ".".join(["127", *(str(random.randrange(1, 255)) for _ in range(3))])
        self._write("hosts", f"{ADDRESSES[0]} {NAME}\n")
        self._write("resolv.conf", f"nameserver {self.address}\n")
        self.process = harness.start(
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=",
            "--log-facility=/dev/null", f"--listen-address={self.address}", "--bind-interfaces",
            "--no-resolv", "--no-hosts", f"--addn-hosts={self.folder}/hosts",
            f"--local=/{NAME}/", f"--local-ttl={TTL}")
        harness.wait_until(self._listens, PATIENCE, "dnsmasq", 0.01)

    def _listens(self):
        with socket.socket() as client:
            return client.connect_ex((self.address, 53)) == 0

    def _write(self, name, text):
        with open(f"{self.folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    def wrapper(self):
        return ("unshare", "--mount", "sh", "-c", BESIDE, self.folder)

    def move(self):
        self._write("hosts", f"{ADDRESSES[1]} {NAME}\n")
        self.process.send_signal(signal.SIGHUP)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        harness.end(self.process)


def moved_name(peer):
    """The old target goes on: nothing but the name says that clients belong elsewhere."""
    with NameServer() as names:
        with Scene(peer, wrapper=names.wrapper(), names=names.address) as scene:
            second = socket.create_server((ADDRESSES[1], scene.way.target), backlog=4096)
            with second, Echo(scene.target) as old, Echo(second) as new:
                if not _is_served(scene) or (old.accepted, new.accepted) != (1, 0):
                    raise RuntimeError("the first client does not reach the first address")
                names.move()
                began = time.monotonic()
                while time.monotonic() - began < LATEST:
                    if not _is_served(scene):
                        return "clients fail"
                    if new.accepted:
                        prompt = time.monotonic() - began < PROMPT
                        return "yes" if prompt else "late"
                    time.sleep(0.1)
    return "keeps the old address"


def _is_served(scene):
    with socket.create_connection(("127.0.0.1", scene.way.port), PATIENCE) as client:
        return asks(client, PATIENCE)
