# The benchmark's own arithmetic: a wrong figure would look like a right one.
import re
import resource
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import charts
import database
import forwarder
import goals
import harness
import load
import machine
import main
import measure
import pages
import peers
import publish
import report
import strace
from cases import BY_KEY, CASES, METRICS
from results import Results, spread
from wording import number, ratio

MACHINE = {"others": 0.1, "idle": 0.5, "seconds": 1.0}


def results_of(*rows):
    """Rows are case, peer, metric and the values of its rounds."""
    made = Results(
        {"date": "2026-01-02 03:04 UTC", "commit": "abc", "kernel": "6", "architecture": "x86_64",
         "cpus": 2, "cpu": "one", "memory_mb": 1, "load": 0.0, "descriptors": 1,
         "fs.pipe-user-pages-soft": "1", "net.ipv4.tcp_congestion_control": "cubic"},
        {x.key: main.describe(x, "1.0") for x in peers.PEERS},
        {"rounds": 3, "seconds": 1.0, "seed": 6, "left_out": {}, "is_whole": True})
    for case, peer, metric, values in rows:
        for turn, value in enumerate(values):
            made.add(case, "unprivileged", peer, turn, sample(**{metric: value}))
    return made


def sample(errors=None, failure=None, **values):
    return {"values": values, "errors": errors or {}, "failure": failure, "machine": MACHINE}


def verdicts(results):
    return {x.text: x.verdict for x in goals.judge(results) if x.is_measured}


class Figures(unittest.TestCase):
    def test_the_median_is_the_middle_and_the_spread_the_ends(self):
        self.assertEqual(spread([3, 9, 1]).median, 3)
        self.assertEqual(spread([4, 1, 2, 9]).median, 3)
        self.assertEqual((spread([3, 9, 1]).low, spread([3, 9, 1]).high), (1, 9))

    def test_no_figure_looks_better_than_it_is(self):
        self.assertEqual(number(1234.99), "1,234")
        self.assertEqual(number(1234.01, is_cost=True), "1,235")
        self.assertEqual(ratio(1.899), "1.89×")
        self.assertEqual(ratio(0.331, is_cost=True), "0.34×")
        self.assertEqual(number(0.29, 2), "0.29")
        self.assertEqual(number(6.0, 2, is_cost=True), "6.00")
        self.assertEqual(ratio(None), "–")

    def test_ratios_are_sidecar_s_median_by_the_peer_s(self):
        results = results_of(("connects", "sidecar", "rate", [10, 30, 20]),
                             ("connects", "nginx", "rate", [8, 8, 40]))
        self.assertEqual(results.ratio("connects", "unprivileged", "nginx", "rate"), 2.5)
        self.assertIsNone(results.ratio("connects", "unprivileged", "socat", "rate"))
        self.assertIsNone(results.ratio("connects", "root", "nginx", "rate"))

    def test_errors_of_all_rounds_are_added_up_and_failed_rounds_counted(self):
        results = results_of()
        results.add("connects", "root", "socat", 0, sample({"reset": 2, "wrong": 0}, rate=1))
        results.add("connects", "root", "socat", 1, sample({"reset": 1}, rate=1))
        results.add("connects", "root", "socat", 2, sample(failure="no end"))
        self.assertEqual(results.errors("connects", "root", "socat"), {"reset": 3, "failed": 1})
        text = "\n".join(report.table(results, BY_KEY["connects"], "root"))
        self.assertIn("socat !", text)
        self.assertIn("! socat: reset 3, failed 1; no end", text)

    def test_what_is_saved_is_read_again(self):
        results = results_of(("connects", "sidecar", "rate", [1, 2]))
        with tempfile.TemporaryDirectory() as folder:
            results.save(f"{folder}/made/results.json")
            again = Results.read(f"{folder}/made/results.json")
        self.assertEqual(again.samples, results.samples)
        self.assertEqual(again.summary(), results.summary())
        self.assertEqual(again.summary()["connects"]["unprivileged"]["sidecar"]["rate"],
                         {"median": 1.5, "low": 1, "high": 2, "count": 2})


class Samples(unittest.TestCase):
    def test_rates_are_of_the_time_measured_and_cpu_time_of_all_that_was_moved(self):
        said = {"case": "bulk-up", "per_second": 900.0, "latency_us": None,
                "total": {"bytes": 2_000_000_000, "operations": 0, "connections": 1}}
        self.assertEqual(measure.values_of(said, 0.5), {"megabytes": 900.0, "cpu_gigabyte": 250.0})
        said = {"case": "mixed", "per_second": 900.0, "bytes": 3_000_000, "seconds": 2.0,
                "latency_us": {"p50": 1.0, "p99": 5.0},
                "total": {"bytes": 1, "operations": 5000, "connections": 1}}
        self.assertEqual(measure.values_of(said, 0.5), {
            "rate": 900.0, "megabytes": 1.5, "p50": 1.0, "p99": 5.0, "cpu_thousand": 100.0})
        self.assertNotIn("cpu_thousand", measure.values_of(said, None))

    def test_a_load_without_a_report_says_why(self):
        self.assertEqual(load.report(1, "", "nothing could be connected\n"),
                         {"failure": "nothing could be connected"})
        self.assertIn("no JSON", load.report(0, "{", "")["failure"])
        self.assertEqual(load.report(0, '{"a": 1}\n', ""), {"a": 1})

    def test_pgbench_s_report_is_understood(self):
        said = database.report(0, PGBENCH, "")
        self.assertEqual(said, {"per_second": 11034.71, "transactions": 11040, "failed": 3})
        aborted = database.report(2, PGBENCH, "pgbench: error: client 3 aborted in command 0\n")
        self.assertEqual(aborted["failed"], 4)
        self.assertEqual(database.report(1, PGBENCH, "no server\n"), {"failure": "no server"})

    def test_strace_s_table_is_understood(self):
        self.assertEqual(strace.parse(STRACE), {"epoll_pwait": 2000, "recvfrom": 4010, "read": 1})

    def test_calls_are_the_difference_of_two_runs_by_what_they_did_more(self):
        few, many = (100, {"recv": 250, "open": 9}), (300, {"recv": 650, "open": 9, "mmap": 20})
        self.assertEqual(strace.difference(few, many), {"recv": 2.0, "mmap": 0.1})
        with self.assertRaises(ValueError):
            strace.difference(many, few)

    def test_the_cpu_time_of_others_is_what_is_left_of_the_busy_time(self):
        shares = machine.shares(busy=150, total=200, own=1.0, ticks=100, cpus=2)
        self.assertEqual(shares, {"others": 0.25, "idle": 0.25, "seconds": 1.0})

    def test_a_shortage_is_counted_when_it_begins_and_when_it_ends(self):
        text = "TcpExt: PruneCalled TCPMemoryPressures TCPMemoryPressuresChrono\nTcpExt: 7 2 40\n"
        self.assertEqual(machine.shortages(text), 42)
        self.assertEqual(machine.shortages("TcpExt: PruneCalled\nTcpExt: 7\n"), 0)
        self.assertEqual(machine.shortages(""), 0)

    def test_a_shortage_is_told_of_below_the_table(self):
        results = results_of(("trips-1", "sidecar", "rate", [1, 2]))
        self.assertNotIn("ran short", report.whole(results, []))
        results.samples[0]["machine"] = {**MACHINE, "short_of_memory": True}
        self.assertIn("ran short in 1 of 2 samples: sidecar", report.whole(results, []))

    def test_a_session_has_the_time_of_children_that_have_ended_too(self):
        busy = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done"
        parent = harness.start("sh", "-c", f"sleep 60 & sh -c '{busy}'; echo; wait",
                               stdout=subprocess.PIPE)
        parent.stdout.readline()
        own = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        self.assertEqual(len(forwarder.session(parent.pid)), 2)
        self.assertGreaterEqual(forwarder.cpu_seconds(parent.pid), 0.05)
        harness.end(parent)
        parent.stdout.close()
        self.assertGreater(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime, own)


class Goals(unittest.TestCase):
    def test_a_goal_wants_both_directions(self):
        up = [("bulk-up-1", "sidecar", "megabytes", [1900]),
              ("bulk-up-1", "haproxy", "megabytes", [1000])]
        down = [("bulk-down-1", "sidecar", "megabytes", [1899]),
                ("bulk-down-1", "haproxy", "megabytes", [1000])]
        goal = "bulk, 1 connection: ≥ 1.9× HAProxy"
        self.assertEqual(verdicts(results_of(*up))[goal], "–")
        self.assertEqual(verdicts(results_of(*up, *down))[goal], "NO")
        down[0] = ("bulk-down-1", "sidecar", "megabytes", [1900])
        self.assertEqual(verdicts(results_of(*up, *down))[goal], "yes")

    def test_the_best_peer_is_neither_sidecar_nor_the_direct_way(self):
        rows = [("trips-1", peer, "rate", [value]) for peer, value in (
            ("direct", 99), ("sidecar", 20), ("sidecar-1", 50), ("nginx", 19), ("socat", 3))]
        rows += [("trips-1", peer, "p99", [value]) for peer, value in (
            ("direct", 1), ("sidecar", 20), ("nginx", 19), ("socat", 30))]
        made = verdicts(results_of(*rows))
        self.assertEqual(made["round trips, 1 connection: ≥ 1.0× the best peer"], "yes")
        self.assertEqual(made["round trips, 1 connection: p99 ≤ 1.0× the best peer's"], "NO")

    def test_as_many_calls_as_a_peer_are_not_fewer(self):
        goal = "a short connection: fewer system calls than every peer"
        for ours, verdict in ((22.0, "NO"), (21.9, "yes")):
            made = results_of(("calls-connect", "sidecar", "calls", [ours]),
                              ("calls-connect", "nginx", "calls", [22.0]),
                              ("calls-connect", "socat", "calls", [70.0]))
            self.assertEqual(verdicts(made)[goal], verdict)

    def test_two_workers_are_judged_by_cases_that_leave_them_room(self):
        faster = "two workers ≥ 1.3× one on bulk 16, each held to 10% of a CPU"
        elsewhere = "two workers ≥ 0.95× one everywhere else"
        for two, idle, verdict in ((1300, 0.5, "yes"), (1299, 0.5, "NO"), (1300, 0.1, "–")):
            made = results_of(*((f"held-{way}-16", f"sidecar-{x}", "megabytes", [value])
                                for way in ("up", "down") for x, value in ((1, 1000), (2, two))))
            for x in made.samples:
                x["machine"] = {**MACHINE, "idle": idle}
            self.assertEqual(verdicts(made)[faster], verdict)
            self.assertNotIn(elsewhere, verdicts(made))
        half = results_of(("held-up-16", "sidecar-1", "megabytes", [1000]),
                          ("held-up-16", "sidecar-2", "megabytes", [1300]))
        for idle in (0.5, 0.1):
            for x in half.samples:
                x["machine"] = {**MACHINE, "idle": idle}
            self.assertEqual(verdicts(half)[faster], "–")
        slower = results_of(("bulk-up-16", "sidecar-2", "megabytes", [940]),
                            ("bulk-up-16", "sidecar-1", "megabytes", [1000]))
        self.assertEqual(verdicts(slower)[elsewhere], "NO")


class Plans(unittest.TestCase):
    def test_words_choose_cases_by_their_beginnings(self):
        keys = [x.key for x in CASES]
        self.assertEqual(main.chosen("", keys), keys)
        self.assertEqual(main.chosen("trips", keys), ["trips-1", "trips-64", "trips-16k"])
        self.assertEqual(main.chosen("bulk-up-1, mixed", keys), ["bulk-up-1", "mixed"])
        with self.assertRaises(SystemExit):
            main.chosen("trip", keys)

    def test_settings_come_from_the_environment_and_are_checked(self):
        made = main.settings(main.WHOLE, {"BENCH_ROUNDS": "2", "BENCH_PEERS": "nginx"})
        self.assertEqual((made["rounds"], made["peers"]), (2, ["sidecar", "nginx"]))
        self.assertFalse(made["is_whole"])
        self.assertTrue(main.settings(main.WHOLE, {})["is_whole"])
        self.assertFalse(main.settings(main.QUICK, {})["is_whole"])
        for wrong in ({"BENCH_ROUNDS": "0"}, {"BENCH_PEERS": "ngin"}):
            with self.assertRaises(SystemExit):
                main.settings(main.WHOLE, wrong)

    def test_every_round_has_all_in_another_order_and_counted_once(self):
        planned = main.plan([x.key for x in CASES], peers.PEERS, ("unprivileged",), True)
        made = list(main.turns(planned, 3, 6))
        counted = [x for x in planned if x[0].is_counted]
        self.assertEqual(made[0], (0, counted))
        for _, samples in made[1:]:
            self.assertCountEqual(samples, [
                x for x in planned if not x[0].is_counted for _ in range(x[0].repeats)])
        self.assertNotEqual(made[1][1], made[2][1])
        self.assertEqual(made, list(main.turns(planned, 3, 6)))

    def test_what_makes_no_sense_is_not_planned(self):
        made = {(case.key, user, peer.key) for case, user, peer in main.plan(
            [x.key for x in CASES], peers.PEERS, ("root", "unprivileged"), False)}
        self.assertIn(("bulk-up-16", "root", "haproxy-auto"), made)
        self.assertNotIn(("trips-1", "unprivileged", "haproxy-auto"), made)
        self.assertNotIn(("memory", "unprivileged", "direct"), made)
        self.assertNotIn(("trips-1", "root", "sidecar"), made)
        self.assertNotIn(("bulk-up-16", "root", "nginx"), made)
        self.assertNotIn(("pgbench", "unprivileged", "sidecar"), made)
        self.assertIn(("held-up-16", "unprivileged", "sidecar-2"), made)
        self.assertNotIn(("held-up-16", "unprivileged", "sidecar"), made)
        self.assertFalse([x for x, _, _ in main.plan(
            ["held-up-16"], peers.PEERS, ("unprivileged",), False)])

    @unittest.skipUnless(harness.run("unshare", "--net", "true", wanted=None).code == 0,
                         "a network of its own needs rights")
    def test_a_run_has_a_loopback_of_its_own_that_nobody_paces(self):
        """In another process, which keeps the machine's network for everybody else."""
        said = harness.run(sys.executable, "-B", "-c", """if True:
            import os, socket, network
            machines = os.stat("/proc/thread-self/ns/net").st_ino
            network.enter_own()
            with socket.create_server(("127.0.0.1", 0)) as server:
                socket.create_connection(server.getsockname()).close()
            print(os.stat("/proc/thread-self/ns/net").st_ino != machines)
            print(network.congestion_control() in network.UNPACED)""",
                           env={"PYTHONPATH": ":".join(sys.path)})
        self.assertEqual(said.out.split(), ["True", "True"])

    def test_a_disturbed_sample_is_taken_again_and_the_quieter_one_kept(self):
        def taken(tries, *others, failure=None):
            left = [{"machine": {"others": x}, "failure": failure} for x in others]
            return main.quietest(tries, lambda: left.pop(0))["machine"]["others"], len(left)

        self.assertEqual(taken(2, 0.05, 0.01), (0.05, 1))
        self.assertEqual(taken(2, 0.3, 0.2), (0.2, 0))
        self.assertEqual(taken(2, 0.2, 0.3), (0.2, 0))
        self.assertEqual(taken(1, 0.5, 0.1), (0.5, 1))
        self.assertEqual(taken(2, 0.5, 0.1, failure="no end"), (0.5, 1))

    def test_settings_are_filled_in_and_braces_of_a_configuration_stay(self):
        nginx = next(x for x in peers.PEERS if x.key == "nginx")
        command, _, text = nginx.settings(port=1234, target=5678, folder="/somewhere")
        self.assertEqual(command, ("nginx", "-p", "/somewhere", "-c", "/somewhere/configuration"))
        self.assertIn("listen 127.0.0.1:1234 ", text)
        self.assertIn("events { worker_connections", text)
        for peer in peers.PEERS:
            self.assertNotRegex(str(peer.settings(port=1, target=2, folder="3")),
                                r"\{(port|target|folder)\}")

    def test_versions_are_found_in_what_programs_say(self):
        for said, version in (
                ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://", "2.6.12-1+deb12u4"),
                ("nginx version: nginx/1.22.1", "1.22.1"), ("rinetd 0.73", "0.73"),
                ("systemd 252 (252.38-1~deb12u1)", "252 (252.38-1~deb12u1)"),
                ("socat by G. R.\nsocat version 1.7.4.4 on", "1.7.4.4"),
                ("sidecar a9eb23d", "a9eb23d"), ("", "unknown")):
            self.assertEqual(peers.first_version(said.splitlines()), version)


class Pictures(unittest.TestCase):
    def whole(self):
        rows = [(case.key, peer.key, metric, [1.0 * place, 2.0 * place, 4.0 * place])
                for case in CASES for metric in case.metrics
                for place, peer in enumerate(peers.PEERS, 1)]
        return results_of(*rows)

    def test_every_chart_is_a_small_picture_with_its_words_as_text(self):
        drawn = charts.all_drawn(self.whole())
        unprivileged = [x for x in charts.CHARTS if x.user == "unprivileged"]
        self.assertEqual(list(drawn), [x.key for x in unprivileged])
        for key, svg in drawn.items():
            self.assertLess(len(svg.encode()), 30_000, key)
            tree = xml.etree.ElementTree.fromstring(svg)
            words = [x.text for x in tree.iter("{http://www.w3.org/2000/svg}text")]
            self.assertIn("sidecar", words)
            self.assertTrue(all(len(x) <= 100 for x in svg.splitlines()), key)

    def test_a_bar_ends_at_the_median_and_the_whisker_at_the_ends(self):
        results = results_of(("connects", "sidecar", "rate", [100, 200, 150]))
        svg = charts.draw(results, next(x for x in charts.CHARTS if x.key == "connects"))
        bar = re.search(r'<rect class="ours" x="([\d.]+)" .*width="([\d.]+)"', svg)
        whisker = re.search(r'd="M([\d.]+) [\d.]+H([\d.]+)', svg)
        left, width = float(bar[1]), float(bar[2])
        low, high = float(whisker[1]) - left, float(whisker[2]) - left
        self.assertAlmostEqual(width / high, 0.75, 2)
        self.assertAlmostEqual(low / high, 0.5, 2)
        room = (charts.WIDTH - charts.NAMES_WIDTH - charts.MARGIN) / 3 - charts.GAP
        self.assertAlmostEqual(high, room - charts.FIGURE_WIDTH, 0)

    def test_every_panel_has_a_case_with_that_metric(self):
        for chart in charts.CHARTS:
            for panel in chart.panels:
                self.assertIn(panel.metric, BY_KEY[panel.case].metrics, chart.key)
                self.assertIn(chart.user, BY_KEY[panel.case].users, chart.key)
        for case in CASES:
            for metric in case.metrics:
                self.assertIn(metric, METRICS)

    def test_the_readme_is_changed_between_its_marks_alone(self):
        begin, end = publish.MARKS
        page = f"before\n{begin}\nold\n{end}\nafter\n"
        changed = pages.between_marks(page, publish.MARKS, "new")
        self.assertEqual(changed, f"before\n{begin}\n\nnew\n\n{end}\nafter\n")
        self.assertEqual(pages.between_marks(changed, publish.MARKS, "new"), changed)
        with self.assertRaises(SystemExit):
            pages.between_marks("no marks", publish.MARKS, "new")

    def test_the_report_keeps_to_a_terminal_s_columns(self):
        results = self.whole()
        for line in report.whole(results, goals.judge(results)).splitlines():
            self.assertLessEqual(len(line), 100, line)


PGBENCH = """\
number of transactions actually processed: 11040
number of failed transactions: 3 (0.027%)
latency average = 1.450 ms
initial connection time = 11.1 ms
tps = 11034.711 (without initial connection time)
""".replace("11034.711", "11034.71")

STRACE = """\
strace: Process 5 attached
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 50.00    0.001000           1      2000           epoll_pwait
 50.00    0.001000           1      4010      2000 recvfrom
  0.00    0.000000           0         1           read
------ ----------- ----------- --------- --------- ----------------
100.00    0.002000           1      6011      2000 total
"""

if __name__ == "__main__":
    unittest.main()
