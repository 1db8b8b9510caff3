# The forwarders that sidecar is compared with, each as its own documentation would set it up for
# this work on this machine: one worker or thread per CPU, no Nagle, no access log, room for all
# connections.
import dataclasses
import os
import re
import shutil
import subprocess

import harness

BACKLOG = 4096  # as the kernel's own limit, net.core.somaxconn, is by default
CONNECTIONS = 8600  # more than any case opens, and with PIPES within 20,000 descriptors
PIPES = 1300  # two for each connection of any case that moves bulk
NEVER = 3600  # seconds: no timeout may end what is measured
SIDECAR = ".build/sidecar"
FLOOR = ".build/bench/floor"
SOCKET_PROXYD = "/lib/systemd/systemd-socket-proxyd"
STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
# What is known only when it is started. The name server's port is for those that ask one.
PLACES = ("port", "target", "folder", "names")


@dataclasses.dataclass(frozen=True)
class Peer:
    key: str
    name: str
    # Of Debian; empty for what is not from there.
    package: str = ""
    # What must be there for it to run.
    files: tuple = ()
    version_command: tuple = ()
    command: tuple = ()
    # Of a configuration file, `{folder}/configuration`.
    configuration: str = ""
    variables: tuple = ()
    # It is given a listening socket, as systemd would do it.
    is_given_socket: bool = False
    # Only these cases, or groups of them, are measured; empty: all.
    only: tuple = ()
    # Moves bytes through pipes, of which root may have more: measured as root too.
    uses_pipes: bool = False

    def missing(self):
        """What is not there of it, or nothing."""
        return [x for x in self.files if not (os.path.exists(harness.path(x)) or shutil.which(x))]

    def version(self):
        if not self.version_command:
            return ""
        said = subprocess.run(self.version_command, capture_output=True, text=True, check=False,
                              cwd=harness.ROOT, stdin=subprocess.DEVNULL)
        return first_version((said.stdout + said.stderr).splitlines())

    def settings(self, **places):
        """All that decides how it runs, as text; places are by their names unless given."""
        places = {name: places.get(name, "{" + name + "}") for name in PLACES}
        command = tuple(fill(x, places) for x in self.command)
        variables = tuple((name, fill(value, places)) for name, value in self.variables)
        return command, dict(variables), fill(self.configuration, places)


def fill(text, places):
    """Only the places named: a configuration has braces of its own."""
    return re.sub(rf"\{{({'|'.join(PLACES)})\}}", lambda found: str(places[found[1]]), text)


def first_version(lines):
    """The first line that has a version number, without what follows it."""
    for line in lines:
        found = re.search(r"\d+\.\d[\w.+~-]*|\bsystemd \d+ \([^)]*\)|\bsidecar \S+", line)
        if found:
            return found[0].removeprefix("systemd ").removeprefix("sidecar ")
    return "unknown"


def haproxy(key, name, *options, only=(), tuning=()):
    """Without nbthread it has one thread per CPU. In TCP mode it never uses Nagle's algorithm."""
    pipes = (f"  maxpipes {PIPES}",) if options else ()
    lines = (
        "global", f"  maxconn {CONNECTIONS}", *pipes, *tuning,
        "defaults", "  mode tcp", "  timeout connect 5s", f"  timeout client {NEVER}s",
        f"  timeout server {NEVER}s", *(f"  option {x}" for x in options),
        "listen forward", f"  bind 127.0.0.1:{{port}} backlog {BACKLOG}",
        "  server target 127.0.0.1:{target}", "")
    return Peer(
        key, name, "haproxy", ("haproxy",), ("haproxy", "-v"),
        ("haproxy", "-db", "-f", "{folder}/configuration"), "\n".join(lines), only=only,
        uses_pipes=bool(options))


def nginx(key, name, tuning="", only=()):
    """A socket for each worker, by reuseport: the kernel spreads connections over them."""
    return Peer(
        key, name, "nginx libnginx-mod-stream", ("nginx", STREAM_MODULE), ("nginx", "-v"),
        ("nginx", "-p", "{folder}", "-c", "{folder}/configuration"), only=only,
        configuration=f"""\
load_module {STREAM_MODULE};
daemon off;
worker_processes auto;
pid {{folder}}/pid;
error_log stderr crit;
events {{ worker_connections {2 * CONNECTIONS}; }}
stream {{
  access_log off;
  tcp_nodelay on;
  proxy_timeout {NEVER}s;
  proxy_half_close on;
{tuning}\
  server {{
    listen 127.0.0.1:{{port}} backlog={BACKLOG} reuseport;
    proxy_pass 127.0.0.1:{{target}};
  }}
}}
""")


# The groups of cases in which bytes are moved as fast as they will.
FORWARDING = ("bulk", "round-trips", "connects", "idle", "mixed", "pgbench")
WORKERS = (*FORWARDING, "held")
# Where splice-auto could help.
FEW = tuple(f"bulk-{way}-{count}" for way in ("up", "down") for count in (1, 16))
SIDECAR_VARIABLES = (("TARGET_HOST", "127.0.0.1"), ("TARGET_PORT", "{target}"),
                     ("LISTEN_HOST", "127.0.0.1"), ("LISTEN_PORT", "{port}"))


def sidecar(key, name, *variables, only=(), uses_pipes=False):
    return Peer(key, name, files=(SIDECAR,), version_command=(SIDECAR, "--version"),
                command=(SIDECAR,), variables=(*SIDECAR_VARIABLES, *variables), only=only,
                uses_pipes=uses_pipes)


PEERS = (
    Peer("direct", "no forwarder", uses_pipes=True),  # for comparison
    sidecar("sidecar", "sidecar", uses_pipes=True),
    # On two CPUs the same as by default: what they differ by is noise.
    sidecar("sidecar-1", "sidecar, 1 worker", ("WORKERS", "1"), only=WORKERS),
    sidecar("sidecar-2", "sidecar, 2 workers", ("WORKERS", "2"), only=(*WORKERS, "memory")),
    # No product: what remains to be paid when nothing but the bytes is cared for.
    Peer("floor", "bare loop in C", files=(FLOOR,), command=(FLOOR, "{port}", "{target}"),
         only=(*FORWARDING, "calls")),
    haproxy("haproxy", "HAProxy"),
    haproxy("haproxy-splice", "HAProxy, splice", "splice-request", "splice-response"),
    haproxy("haproxy-auto", "HAProxy, splice-auto", "splice-auto", only=FEW),
    # The documentation strongly recommends not to change it; for bulk alone it is worth it.
    haproxy("haproxy-large", "HAProxy, 128k buffers", only=("bulk",),
            tuning=("  tune.bufsize 131072",)),
    nginx("nginx", "nginx stream"),
    nginx("nginx-large", "nginx, 256k buffers", "  proxy_buffer_size 256k;\n", only=("bulk",)),
    Peer("proxyd", "systemd-socket-proxyd", "systemd", (SOCKET_PROXYD,),
         (SOCKET_PROXYD, "--version"),
         (SOCKET_PROXYD, f"--connections-max={CONNECTIONS}", "127.0.0.1:{target}"),
         is_given_socket=True, uses_pipes=True),
    Peer("rinetd", "rinetd", "rinetd", ("rinetd",), ("rinetd", "-v"),
         ("rinetd", "-f", "-c", "{folder}/configuration"),
         configuration="127.0.0.1 {port} 127.0.0.1 {target}\n"),
    Peer("socat", "socat", "socat", ("socat",), ("socat", "-V"),
         ("socat", "-b", "65536",
          f"TCP-LISTEN:{{port}},bind=127.0.0.1,reuseaddr,fork,backlog={BACKLOG},nodelay",
          "TCP:127.0.0.1:{target},nodelay")),
)
# What the goals compare sidecar with: products, other than itself.
RIVALS = tuple(
    x.key for x in PEERS if x.key not in ("direct", "floor") and x.files != (SIDECAR,))
NAMES = {x.key: x.name for x in PEERS}
