# A PostgreSQL of the benchmark's own, with pgbench's tables. Nothing in it has to survive a crash.
import os
import pwd
import re
import signal
import subprocess

import forwarder
import harness

SCALE = 10
CLIENTS = 16
SETTINGS = (
    "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "autovacuum=off",
    "max_connections=100", "shared_buffers=256MB",
)


def is_missing():
    return not os.access(f"{harness.POSTGRESQL}/initdb", os.X_OK)


def as_owner(*command):
    """It refuses to run as root."""
    if os.geteuid() != 0:
        return command
    return ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command)


class Server:
    def __init__(self):
        self.folder = harness.folder()
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        programs, data = harness.POSTGRESQL, f"{self.folder}/data"
        harness.run(*as_owner(f"{programs}/initdb", "-D", data, "-U", "tester", "-A", "trust",
                              "--no-locale", "--no-sync"), cwd=self.folder)
        self.port = harness.free_port()
        options = [x for setting in SETTINGS for x in ("-c", setting)]
        self.process = harness.start(
            *as_owner(f"{programs}/postgres", "-D", data, "-p", str(self.port), *options),
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        harness.wait_until(lambda: self._tool("pg_isready").code == 0, 30, "PostgreSQL", 0.05)
        self._tool("pgbench", "-i", "-q", "-s", str(SCALE), wanted=0)

    def _tool(self, name, *arguments, port=None, wanted=None, timeout=120):
        environment = {"PATH": os.environ["PATH"], "PGHOST": "127.0.0.1", "PGUSER": "tester",
                       "PGPORT": str(port or self.port), "PGDATABASE": "postgres",
                       "PGSSLMODE": "disable", "PGCONNECT_TIMEOUT": "20"}
        return harness.run(f"{harness.POSTGRESQL}/{name}", *arguments, wanted=wanted,
                           env=environment, timeout=timeout)

    def pgbench(self, port, seconds, is_connecting):
        """Whole seconds are all that it takes."""
        more = ("-C",) if is_connecting else ()
        try:
            said = self._tool("pgbench", "-n", "-S", "-c", str(CLIENTS), "-j", "2", "-T",
                              str(max(1, round(seconds))), *more, port=port, timeout=seconds + 30)
        except subprocess.TimeoutExpired:
            return {"failure": "pgbench does not end"}
        return report(said.code, said.out, said.errors)

    def version(self):
        return re.search(r"[\d.]+", self._tool("postgres", "--version").out)[0]

    def cpu_seconds(self):
        return forwarder.cpu_seconds(self.process.pid)

    def end(self):
        harness.end(self.process, signal.SIGINT)  # its fast shutdown


def report(code, out, errors):
    """What pgbench says of a run. It ends with 2 when a client was aborted."""
    rate = re.search(r"^tps = ([\d.]+)", out, re.MULTILINE)
    done = re.search(r"actually processed: (\d+)", out)
    if not (rate and done and code in (0, 2)):
        return {"failure": errors.strip()[-200:] or f"exit code {code}"}
    failed = re.search(r"failed transactions: (\d+)", out)
    aborted = len(re.findall(r"aborted|connection to server .* failed", errors))
    return {"per_second": float(rate[1]), "transactions": int(done[1]),
            "failed": int(failed[1] if failed else 0) + aborted}
