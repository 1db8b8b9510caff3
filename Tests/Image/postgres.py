# A real PostgreSQL in a container, and its clients in others. The programs are this machine's,
# lent to the containers: no public image is needed.
import os
import pwd

import engine
import harness
from engine import Container, docker
from harness import POSTGRESQL as PROGRAMS


def lent():
    """Options that lend this machine's programs."""
    options = ["--entrypoint", "/bin/sh", "--user", str(pwd.getpwnam("postgres").pw_uid)]
    for folder in ("/usr", "/bin", "/lib", "/lib64", "/etc/passwd"):
        if os.path.exists(folder):
            options += ["--volume", f"{folder}:{folder}:ro"]
    return options


def certificate():
    """A folder with cert.pem and key.pem for writer.example."""
    made = harness.folder()
    os.chmod(made, 0o755)
    harness.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                "/CN=writer.example", "-addext", "subjectAltName=DNS:writer.example",
                "-keyout", f"{made}/key.pem", "-out", f"{made}/cert.pem")
    os.chmod(f"{made}/key.pem", 0o644)
    return made


class Server(Container):
    def __init__(self, address, *settings, tls, options=(), network="none"):
        more = " ".join(f"-c {x}" for x in settings)
        super().__init__(
            "-c", f"""set -e
            {PROGRAMS}/initdb -D /data/db -U app -A trust --no-sync >/dev/null
            install -m 600 /tls/*.pem /data
            exec {PROGRAMS}/postgres -D /data/db -k /data -c listen_addresses={address} -c ssl=on \
              -c ssl_cert_file=/data/cert.pem -c ssl_key_file=/data/key.pem -c fsync=off {more}
            """, of=engine.base_image(), network=network,
            options=(*lent(), "--tmpfs", "/data:mode=1777", "--volume", f"{tls}:/tls:ro", *options))
        self.wait_for("ready to accept connections", 60)


def client_options(server, *more):
    return ("--network", f"container:{server.id}", *lent(), *more, engine.base_image(), "-c")


def client(server, command, options=(), **more):
    """Runs one of PostgreSQL's clients in a container of its own beside the server."""
    return docker("run", "--rm", *client_options(server, *options),
                  f"exec {PROGRAMS}/{command}", **more)


def start_client(server, command):
    """The same, without waiting for its end; --rm, and the server's end, end it too."""
    return Container("-c", f"exec {PROGRAMS}/{command}", of=engine.base_image(),
                     network=f"container:{server.id}", options=lent())
