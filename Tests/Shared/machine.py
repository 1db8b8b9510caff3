# What the machine is, and how much of it others used while something was measured.
import datetime
import os
import platform
import resource

import harness


def _text(path, fallback=""):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return fallback


def facts():
    """Whatever decides the figures and is not the peers' own."""
    cpu = [x.split(":", 1)[1].strip() for x in _text("/proc/cpuinfo").splitlines()
           if x.startswith("model name")]
    memory = _text("/proc/meminfo", "MemTotal: 0 kB").split()[1]
    settings = ("fs/pipe-user-pages-soft", "net/core/somaxconn", "net/ipv4/tcp_rmem",
                "net/ipv4/tcp_wmem", "net/ipv4/tcp_congestion_control")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "kernel": platform.release().partition("-")[0], "architecture": platform.machine(),
        "cpu": cpu[0] if cpu else "unknown", "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": int(memory) // 1000, "load": os.getloadavg()[0],
        "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "commit": harness.run("git", "describe", "--tags", "--always", "--dirty",
                              wanted=None).out.strip() or "unknown",
        **{x.replace("/", "."): " ".join(_text(f"/proc/sys/{x}").split()) for x in settings},
    }


def raise_descriptor_limit(limit=65535):
    """What Fargate gives; a forwarder that sizes itself by it does so as there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in ((limit, limit), (min(limit, hard), hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, wanted)
            return
        except (ValueError, OSError):
            continue
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def shares(busy, total, own, ticks, cpus):
    """Of all CPU time: what others used, and what nobody did; `own` is in seconds."""
    if total <= 0:
        return {"others": 0.0, "idle": 0.0}
    return {"others": max(0.0, busy - own * ticks) / total, "idle": 1 - busy / total,
            "seconds": total / ticks / cpus}


def shortages(text):
    """How often, and for how many milliseconds, all sockets together had more memory than the
    kernel likes (tcp_mem, tcp(7)); `text` is of /proc/net/netstat (snmp_counter.rst)."""
    names, values = ([x.split() for x in text.splitlines()[:2]] + [[], []])[:2]
    counts = dict(zip(names, values))
    return sum(int(counts.get(f"TCPMemoryPressures{x}", 0)) for x in ("", "Chrono"))


class Usage:
    """The CPU time since it was made, of this program's children and of all others; and whether
    the kernel was short of memory for TCP meanwhile."""

    def __init__(self, server=None):
        self.server = server
        self.begun = self._now()

    def _now(self):
        fields = [int(x) for x in _text("/proc/stat").split("\n", 1)[0].split()[1:9]]
        idle = fields[3] + fields[4]
        children, own = (resource.getrusage(x) for x in (
            resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
        used = sum(x.ru_utime + x.ru_stime for x in (children, own))
        if self.server:
            used += self.server.cpu_seconds()
        return sum(fields) - idle, sum(fields), used, shortages(_text("/proc/net/netstat"))

    def until_now(self):
        """What a sample started has been waited for by then; PostgreSQL, `server`, goes on."""
        busy, total, own, short = (b - a for a, b in zip(self.begun, self._now()))
        return {**shares(busy, total, own, os.sysconf("SC_CLK_TCK"), os.cpu_count()),
                "short_of_memory": short > 0}
