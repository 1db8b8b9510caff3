# All that one run of the benchmark found: its samples, as they are kept in a file, and what they
# come to: medians, their spread, and sidecar's ratio to a peer.
import dataclasses
import json
import os
import statistics

SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Spread:
    median: float
    low: float
    high: float
    count: int


def spread(values):
    return Spread(statistics.median(values), min(values), max(values), len(values))


class Results:
    """`samples` are dictionaries: case, user, peer, round, values, errors, failure, machine."""

    def __init__(self, facts, peers, settings):
        self.facts, self.peers, self.settings = facts, peers, settings
        self.samples = []

    def add(self, case, user, peer, turn, sample):
        self.samples.append({"case": case, "user": user, "peer": peer, "round": turn, **sample})

    def save(self, file):
        """Whole or not at all: an earlier file stays when this is interrupted."""
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(f"{file}.new", "w", encoding="utf-8") as out:
            json.dump({"schema": SCHEMA, "machine": self.facts, "peers": self.peers,
                       "settings": self.settings, "summary": self.summary(),
                       "samples": self.samples}, out, indent=1)
            out.write("\n")
        os.replace(f"{file}.new", file)

    @staticmethod
    def read(file):
        with open(file, encoding="utf-8") as text:
            found = json.load(text)
        if found["schema"] != SCHEMA:
            raise SystemExit(f"{file} has schema {found['schema']}; this program reads {SCHEMA}")
        results = Results(found["machine"], found["peers"], found["settings"])
        results.samples = found["samples"]
        return results

    def of(self, case, user, peer):
        wanted = (case, user, peer)
        return [x for x in self.samples if (x["case"], x["user"], x["peer"]) == wanted]

    def spread(self, case, user, peer, metric):
        """Nothing where nothing was measured."""
        values = [x["values"][metric] for x in self.of(case, user, peer) if metric in x["values"]]
        return spread(values) if values else None

    def median(self, case, user, peer, metric):
        found = self.spread(case, user, peer, metric)
        return found.median if found else None

    def ratio(self, case, user, peer, metric, of="sidecar"):
        """How many times the peer's figure sidecar's is."""
        ours, theirs = (self.median(case, user, x, metric) for x in (of, peer))
        return ours / theirs if ours is not None and theirs else None

    def errors(self, case, user, peer):
        """By kind, of all rounds; a round without any figure is one of `failed`."""
        counts = {}
        for sample in self.of(case, user, peer):
            for kind, count in sample["errors"].items():
                counts[kind] = counts.get(kind, 0) + count
            counts["failed"] = counts.get("failed", 0) + (sample["failure"] is not None)
        return {kind: count for kind, count in counts.items() if count}

    def users(self, case):
        return list(dict.fromkeys(x["user"] for x in self.samples if x["case"] == case))

    def measured_peers(self, case, user):
        return list(dict.fromkeys(
            x["peer"] for x in self.samples if (x["case"], x["user"]) == (case, user)))

    def others(self):
        """The share of the CPUs that other programs used: the median of all samples."""
        shares = [x["machine"]["others"] for x in self.samples]
        return statistics.median(shares) if shares else 0.0

    def short_of_memory(self, case, user, peer):
        """In how many of how many samples the kernel was short of memory for TCP."""
        found = [x["machine"].get("short_of_memory", False) for x in self.of(case, user, peer)]
        return sum(found), len(found)

    def idle(self, case, user, peer):
        """The share of the CPUs that nobody used."""
        shares = [x["machine"]["idle"] for x in self.of(case, user, peer)]
        return statistics.median(shares) if shares else None

    def summary(self):
        """For those who read the file: case, user, peer, metric."""
        made = {}
        for sample in self.samples:
            case, user, peer = (sample[x] for x in ("case", "user", "peer"))
            place = made.setdefault(case, {}).setdefault(user, {})
            if peer in place:
                continue
            names = {name for x in self.of(case, user, peer) for name, value in x["values"].items()
                     if isinstance(value, (int, float))}
            place[peer] = {name: dataclasses.asdict(self.spread(case, user, peer, name))
                           for name in sorted(names)}
            place[peer]["errors"] = self.errors(case, user, peer)
        return made
