# What is compared: the cases, and how each forwarder is set up for them: as serves it best, with a
# note where its defaults, or another setting, come to something else.
import dataclasses
import signal
from collections.abc import Callable

import ends
import naming
import peers
import working

BY_KEY = {x.key: x for x in peers.PEERS}
COLUMNS = ("sidecar", "haproxy", "nginx", "proxyd", "rinetd", "socat")


@dataclasses.dataclass(frozen=True)
class Note:
    # `{}` is what came of `setting`, if there is one.
    peer: str
    text: str
    setting: peers.Peer | None = None
    # Another way to run it.
    run: Callable | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    key: str
    # What a `yes` says; a case that answers several questions has a title for each.
    titles: tuple
    run: Callable
    # Peers that are set up otherwise than in peers.py, or run otherwise.
    settings: dict = dataclasses.field(default_factory=dict)
    runs: dict = dataclasses.field(default_factory=dict)
    notes: tuple = ()
    needs_root: bool = False
    # It waits more than it works: all peers are asked at the same time.
    waits: bool = False

    def peer(self, key):
        return self.settings.get(key, BY_KEY[key])

    def cells(self, peer, run=None):
        """A word or two for each title."""
        found = (run or self.runs.get(peer.key, self.run))(peer)
        return found if isinstance(found, tuple) else (found,)


def changed(key, *changes):
    """A peer with parts of its configuration replaced."""
    text = BY_KEY[key].configuration
    for old, new in changes:
        if old not in text:
            raise ValueError(f"{old!r} is not in the configuration of {key}")
        text = text.replace(old, new)
    return dataclasses.replace(BY_KEY[key], configuration=text)


def commanded(key, *changes, **more):
    """A peer with words of its command replaced."""
    command = BY_KEY[key].command
    for old, new in changes:
        at = command.index(old)
        command = (*command[:at], *new, *command[at + 1:])
    return dataclasses.replace(BY_KEY[key], command=command, **more)


def by_signal(number):
    return lambda peer: working.drain(peer, number)


BIND = f"  bind 127.0.0.1:{{port}} backlog {peers.BACKLOG}\n"
ADDRESS = "127.0.0.1:{target}"
NAMED = f"{naming.NAME}:{{target}}"
HALF_CLOSE = "  proxy_half_close on;\n"
SERVER = f"  server target {ADDRESS}\n"
SPEAKS_FIRST = (
    "  tcp-request inspect-delay 5s\n  tcp-request content accept if { req.len gt 0 }\n"
    "  tcp-request content reject\n")
LONG = commanded("socat", ("socat", ("socat", "-t", str(peers.NEVER))))
ACCESS = "  access_log off;\n"
SYSLOG = "  access_log syslog:server=unix:{names} lines;\n"
LINES = "  log_format lines '$remote_addr:$remote_port $bytes_sent $bytes_received $status';\n"
LOGGING = {
    "haproxy": changed("haproxy", ("global\n", "global\n  log stdout format raw local0\n"),
                       ("defaults\n", "defaults\n  log global\n  option tcplog\n")),
    "nginx": changed("nginx", (ACCESS, LINES + SYSLOG)),
    "rinetd": changed("rinetd", ("127.0.0.1 {port}", "logfile /dev/stdout\n127.0.0.1 {port}")),
    "socat": commanded("socat", ("socat", ("socat", "-d", "-d"))),
}
RESOLVING = "resolvers names\n  parse-resolv-conf\n  hold valid 1s\ndefaults\n"
NAMES = {
    "sidecar": dataclasses.replace(BY_KEY["sidecar"], variables=(
        ("TARGET_HOST", naming.NAME), *peers.SIDECAR_VARIABLES[1:])),
    "haproxy": changed("haproxy", ("defaults\n", RESOLVING), (
        SERVER, f"  server target {NAMED} resolvers names init-addr libc,none\n")),
    "nginx": changed("nginx", (f"proxy_pass {ADDRESS};", "proxy_pass $name:{target};"), (
        "  server {\n",
        f"  resolver {{names}} ipv6=off;\n  server {{\n    set $name {naming.NAME};\n")),
    "proxyd": commanded("proxyd", (ADDRESS, (NAMED,))),
    "rinetd": changed("rinetd", ("127.0.0.1 {target}", f"{naming.NAME} {{target}}")),
    "socat": commanded("socat", (f"TCP:{ADDRESS},nodelay", (f"TCP:{NAMED},nodelay",))),
}

CASES = (
    Case("half-close", ("half-close is kept, either way",), ends.half_close, {
        "socat": LONG}, waits=True, notes=(
        Note("nginx", "`proxy_half_close on`; by default: {}", changed("nginx", (HALF_CLOSE, ""))),
        Note("socat", f"`-t {peers.NEVER}`; by default: {{}}", BY_KEY["socat"]))),
    Case("reset-client", ("a client's reset reaches the target as one",), ends.reset_by_client),
    Case("reset-target", ("a target's reset reaches the client as one",), ends.reset_by_target),
    Case("cut-stream", ("a stream that is cut never looks complete",), ends.cut_stream),
    Case("probes", ("probes never reach the target",), working.probes, notes=(
        Note("haproxy", "`tcp-request inspect-delay` with `content reject` unless `req.len gt 0`: "
             "{}, if every client speaks first", changed("haproxy", (BIND, BIND + SPEAKS_FIRST))),
        Note("nginx", "`ssl_preread on`: {}, if every client speaks first",
             changed("nginx", (HALF_CLOSE, HALF_CLOSE + "  ssl_preread on;\n"))))),
    Case("drain", ("told to stop, it finishes transfers, takes no new ones, and exits",),
         working.drain, notes=(
             Note("haproxy", "by SIGUSR1; by SIGTERM: {}", BY_KEY["haproxy"], working.drain),
             Note("nginx", "by SIGQUIT; by SIGTERM: {}", BY_KEY["nginx"], working.drain),
             Note("socat", "its children finish them, if they do not end with its container")),
         runs={"haproxy": by_signal(signal.SIGUSR1), "nginx": by_signal(signal.SIGQUIT)}),
    Case("log", ("a log that nobody reads stops nothing",), working.stalled_log, LOGGING, notes=(
        Note("nginx", "`access_log syslog:`; to standard output: {}",
             changed("nginx", (ACCESS, LINES + "  access_log /dev/stdout lines;\n"))),
        Note("socat", "`-d -d`, without which it logs no connections"))),
    Case("descriptors", (
        "out of descriptors, it serves on without spinning, and recovers",
        "clients beyond the limit wait for a place"), working.descriptors,
         {"haproxy": changed("haproxy", (f"  maxconn {peers.CONNECTIONS}\n", ""))}, notes=(
             Note("proxyd", "with `--connections-max` at half of what fits: {}", commanded(
                 "proxyd", (f"--connections-max={peers.CONNECTIONS}",
                            (f"--connections-max={working.DESCRIPTORS // 12}",)))),
             Note("socat", "it has a process for each connection, and seldom reaches the limit"))),
    Case("quota", ("the user's quota for pipes used up: every byte arrives, less than "
                   f"{working.COLLAPSED} times slower",), working.pipe_quota, notes=(
                       Note("haproxy", "it uses pipes with `splice-request`, `splice-response`: {}",
                            BY_KEY["haproxy-splice"]),)),
    Case("names", (f"a name that moves (TTL {naming.TTL} s) is followed within {naming.PROMPT} s",),
         naming.moved_name, NAMES, needs_root=True, waits=True, notes=(
             Note("haproxy", "`resolvers`, `hold valid 1s`; without: {}", changed(
                 "haproxy", (SERVER, f"  server target {NAMED}\n"))),
             Note("nginx", "`resolver` and a variable in `proxy_pass`; without: {}", changed(
                 "nginx", (f"proxy_pass {ADDRESS};", f"proxy_pass {NAMED};"))))),
)
