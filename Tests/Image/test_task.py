# Runs the image as ECS does: containers sharing one loopback interface, set up by the task
# definitions in docker/ecs, with a real PostgreSQL, its clients, and the sidecar between.
import datetime
import glob
import json
import resource
import time
import unittest

import engine
import postgres
from engine import Container, docker, needs_engine
from harness import figure, run, text_of, wait_until

NAMES = {"WRITER_ENDPOINT": "writer.example", "READER_ENDPOINT": "reader.example"}
CONSTRAINED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
               "--memory", "64m", "--cpus", "0.1")


def definition(name):
    task = json.loads(text_of("docker", "ecs", f"{name}.json"))
    return next(x for x in task["containerDefinitions"] if x["name"] == "sidecar")


def options_of(container, **changed):
    """What ECS would tell the engine."""
    environment = {x["name"]: x["value"] for x in container["environment"]} | changed
    check = container["healthCheck"]
    options = [
        "--user", container["user"], "--memory", f"{container['memory']}m",
        "--cpu-shares", str(container["cpu"]), "--stop-timeout", str(container["stopTimeout"]),
        "--health-interval", f"{check['interval']}s", "--health-timeout", f"{check['timeout']}s",
        "--health-retries", str(check["retries"]),
        "--health-start-period", f"{check['startPeriod']}s"]
    options += ["--read-only"] * container["readonlyRootFilesystem"]
    options += ["--init"] * container["linuxParameters"]["initProcessEnabled"]
    for name in container["linuxParameters"]["capabilities"]["drop"]:
        options += ["--cap-drop", name]
    for limit in container["ulimits"]:
        # An engine cannot give more than it has.
        most = min(limit["hardLimit"], resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        options += ["--ulimit", f"{limit['name']}={min(limit['softLimit'], most)}:{most}"]
    for mount in container["mountPoints"]:
        options += ["--tmpfs", mount["containerPath"]]
    for name, value in environment.items():
        for placeholder, real in NAMES.items():
            value = value.replace(placeholder, real)
        options += ["--env", f"{name}={value}"]
    return options


def peak_memory(container):
    """The most that the container has used, in bytes, by either version of cgroups."""
    for name in ("memory.max_usage_in_bytes", "memory.peak"):
        for file in glob.glob(f"/sys/fs/cgroup/**/*{container.id}*/{name}", recursive=True):
            with open(file, encoding="ascii") as opened:
                return int(opened.read())
    return None


def children(number):
    """What this machine's ps says: the engine's own `top` leaves zombies out."""
    return run("ps", "--no-headers", "-o", "pid,stat,comm", "--ppid", number, wanted=None
               ).out.splitlines()


@needs_engine
class Task(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        tls = postgres.certificate()
        # It owns the loopback interface and /etc/hosts, as the task does.
        cls.writer = postgres.Server(
            "127.0.0.2", "max_connections=200", tls=tls, options=(
                "--add-host", "writer.example:127.0.0.2", "--add-host", "reader.example:127.0.0.3"))
        cls.reader = postgres.Server("127.0.0.3", "default_transaction_read_only=on", tls=tls,
                                     network=cls.network())
        cls.tls = tls

    @classmethod
    def tearDownClass(cls):
        cls.reader.remove()
        cls.writer.remove()

    @classmethod
    def network(cls):
        return f"container:{cls.writer.id}"

    def sidecar(self, *options, **variables):
        for name, value in variables.items():
            options += ("--env", f"{name}={value}")
        made = Container(options=options, network=self.network())
        self.addCleanup(made.remove)
        return made

    def query(self, text, connection="host=127.0.0.1 port=5432", **more):
        return postgres.client(
            self.writer, f"psql -XAtw -v ON_ERROR_STOP=1 '{connection} user=app dbname=postgres'"
            f" -c \"{text}\"", **more)

    def test_the_postgresql_task_reaches_writer_and_reader_over_one_loopback(self):
        sidecar = self.sidecar(*options_of(definition("aurora-postgresql")))
        wait_until(lambda: sidecar.health() == "healthy", 20, "healthy")
        figure("healthy by the task definition's check after",
               f"{time.monotonic() - sidecar.began:.1f} s")
        self.assertLess(time.monotonic() - sidecar.began, 15)
        self.query("CREATE TABLE t AS SELECT 1 AS x")
        self.query("DROP TABLE t")
        refused = self.query("CREATE TABLE t AS SELECT 1", "host=127.0.0.1 port=5433", wanted=1)
        self.assertIn("read-only transaction", refused.errors)
        sidecar.stop()
        self.assertEqual(sidecar.state()["ExitCode"], 0)
        for line in sidecar.log().splitlines():
            json.loads(line)

    def test_tls_with_the_name_checked_passes_through(self):
        sidecar = self.sidecar(*options_of(definition("aurora-postgresql")))
        sidecar.wait_for("started")
        mount = ("--volume", f"{self.tls}:/tls:ro")
        connection = ("host={} hostaddr=127.0.0.1 port=5432 sslmode=verify-full "
                      "sslrootcert=/tls/cert.pem")
        said = self.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
                          connection.format("writer.example"), options=mount)
        self.assertEqual(said.out.strip(), "t")
        refused = self.query("SELECT 1", connection.format("other.example"), options=mount,
                             wanted=2)
        self.assertIn("does not match host name", refused.errors)

    def test_it_listens_within_two_seconds_and_its_own_check_finds_it_healthy_in_time(self):
        sidecar = self.sidecar(TARGET_HOST="writer.example", TARGET_PORT="5432", LISTEN_PORT="6000")
        sidecar.wait_for("started")
        told = datetime.datetime.fromisoformat(sidecar.log().split(" ", 1)[0])
        seconds = told.timestamp() - sidecar.began_at
        figure("from docker start, the engine's own work included, to listening",
               f"{seconds * 1000:.0f} ms")
        self.assertLess(seconds, 2)
        # The first check comes an interval of 30 s after the start.
        wait_until(lambda: sidecar.health() == "healthy", 40, "healthy")
        figure("healthy by the image's own check after",
               f"{time.monotonic() - sidecar.began:.1f} s")
        for check in sidecar.state()["Health"]["Log"]:
            self.assertEqual((check["ExitCode"], check["Output"]), (0, ""))

    def test_a_sidecar_that_hangs_becomes_unhealthy_and_healthy_again(self):
        sidecar = self.sidecar("--health-interval", "1s", "--health-retries", "2",
                               TARGET_HOST="writer.example", TARGET_PORT="5432")
        wait_until(lambda: sidecar.health() == "healthy", 20, "healthy")
        docker("kill", "--signal", "STOP", sidecar.id)
        wait_until(lambda: sidecar.health() == "unhealthy", 30, "unhealthy")
        check = sidecar.state()["Health"]["Log"][-1]
        self.assertEqual(check["ExitCode"], 1, check)
        self.assertEqual(check["Output"].count("\n"), 1, check)
        docker("kill", "--signal", "CONT", sidecar.id)
        wait_until(lambda: sidecar.health() == "healthy", 20, "healthy again")

    def test_docker_stop_under_load_drains_loses_nothing_and_exits_0(self):
        sidecar = self.sidecar(*options_of(definition("aurora-postgresql")))
        sidecar.wait_for("started")
        load = postgres.start_client(
            self.writer, "pgbench -n -h 127.0.0.1 -p 5432 -U app -c 8 -T 6 -P 1 -f /dev/stdin "
            "postgres <<'END'\nSELECT repeat('x', 2000), pg_sleep(0.002);\nEND")
        self.addCleanup(load.remove)
        load.wait_for("progress: 2")
        stopped = sidecar.stop()
        state = sidecar.state()
        self.assertEqual((state["ExitCode"], state["OOMKilled"]), (0, False), sidecar.log())
        docker("wait", load.id)
        self.assertEqual(load.state()["ExitCode"], 0, load.log())
        self.assertIn("number of failed transactions: 0", load.log())
        self.assertGreater(stopped.seconds, 1)  # it waited for them
        self.assertLess(stopped.seconds, 25)
        self.assertIn('"message":"drained"', sidecar.log())
        self.assertNotIn("drain_timeout", sidecar.log())
        figure("docker stop under load of 8 clients: drained in", f"{stopped.seconds:.1f} s")

    def test_what_outlives_the_drain_is_cut_within_the_stop_timeout(self):
        sidecar = self.sidecar(TARGET_HOST="writer.example", TARGET_PORT="5432", LISTEN_PORT="6001",
                               DRAIN_TIMEOUT="2s")
        sidecar.wait_for("started")
        sleeper = postgres.start_client(
            self.writer, "psql -Xw 'host=127.0.0.1 port=6001 user=app dbname=postgres' "
            "-c 'SELECT pg_sleep(300)'")
        self.addCleanup(sleeper.remove)
        wait_until(lambda: "open" in sidecar.execute("sidecar", "status").out and
                   "1" == self.query("SELECT count(*) FROM pg_stat_activity WHERE query ~ "
                                     "'^SELECT pg_sleep'", "host=127.0.0.2").out.strip(),
                   20, "the query runs")
        stopped = sidecar.stop()
        self.assertEqual(sidecar.state()["ExitCode"], 0)
        self.assertIn("drain timeout: connections cut", sidecar.log())
        self.assertGreater(stopped.seconds, 1.5)
        self.assertLess(stopped.seconds, 15)

    def test_a_small_container_holds_under_load(self):
        sidecar = self.sidecar(*CONSTRAINED, TARGET_HOST="writer.example", TARGET_PORT="5432",
                               LISTEN_PORT="6002", LISTEN_HOST="127.0.0.1")
        sidecar.wait_for("started")
        said = postgres.client(
            self.writer, "pgbench -n -h 127.0.0.1 -p 6002 -U app -c 50 -j 2 -T 8 -f /dev/stdin "
            "postgres <<'END'\nSELECT repeat('x', 2000);\nEND")
        self.assertIn("number of failed transactions: 0", said.out)
        figure("0.1 CPU, 64 MB: transactions of 2 KB by 50 clients",
               next(x for x in said.out.splitlines() if x.startswith("tps")))
        bulk = postgres.client(
            self.writer, "psql -XAtw 'host=127.0.0.1 port=6002 user=app dbname=postgres' -c "
            "\"SELECT repeat('x', 1000) FROM generate_series(1, 200000)\" | wc -c")
        self.assertEqual(bulk.out.strip(), "200200000")
        state = sidecar.state()
        self.assertEqual((state["Running"], state["OOMKilled"]), (True, False))
        peak = peak_memory(sidecar)
        if peak:
            figure("0.1 CPU, 64 MB: most memory used under load", f"{peak / 1e6:.1f} MB")
            self.assertLess(peak, 64 << 20)
        sidecar.execute("sidecar", "health")
        sidecar.stop()
        self.assertEqual(sidecar.state()["ExitCode"], 0, sidecar.log())

    def test_the_sleeping_task_is_a_place_to_look_around_from(self):
        sleeper = self.sidecar(*options_of(definition("debug")))
        wait_until(lambda: sleeper.health() == "healthy", 20, "healthy")
        found = sleeper.execute("sidecar", "probe")
        self.assertIn("writer.example:5432", found.out)
        self.assertIn("127.0.0.2", found.out)
        sleeper.execute("sidecar", "probe", "writer.example:1", wanted=3)
        sleeper.execute("sidecar", "probe", "nobody.example:5432", wanted=2)
        greeted = sleeper.execute("sidecar", "probe", "--greet", "writer.example:5432")
        self.assertIn("PostgreSQL", greeted.out)
        # ECS Exec comes as root, whatever the image's user.
        for user in ("0", "1000"):
            sleeper.execute("sidecar", "health", options=("--user", user))
            sleeper.execute("sidecar", "status", options=("--user", user))
            said = sleeper.execute("sh", "-c", "id -u; echo x >/managed-agents/x || true",
                                   options=("--user", user))
            self.assertEqual(said.out.split()[0], user)
        refused = sleeper.execute("sh", "-c", "echo x >/usr/x", options=("--user", "0"), wanted=1)
        self.assertIn("Read-only file system", refused.errors)
        stopped = sleeper.stop()
        self.assertEqual(sleeper.state()["ExitCode"], 0)
        self.assertLess(stopped.seconds, 10)

    def test_orphans_of_a_shell_are_reaped_in_both_modes(self):
        for variables in ({"MODE": "sleep"},
                          {"TARGET_HOST": "writer.example", "TARGET_PORT": "5432"}):
            sidecar = self.sidecar(**variables)
            sidecar.wait_for("started")
            number = str(sidecar.state()["Pid"])
            sidecar.execute("sh", "-c", "for i in 1 2 3 4 5; do (sleep 3 & ); done >/dev/null 2>&1")
            self.assertEqual(len(children(number)), 5, children(number))
            wait_until(lambda: not children(number), 20, "no zombie is left")
            sidecar.execute("sidecar", "health")

    def test_the_minimal_image_forwards_and_is_healthy(self):
        sidecar = Container(
            of=engine.image(target="minimal"), network=self.network(), options=(
                *CONSTRAINED, "--health-interval", "1s", "--env", "TARGET_HOST=writer.example",
                "--env", "TARGET_PORT=5432", "--env", "LISTEN_PORT=6003"))
        self.addCleanup(sidecar.remove)
        wait_until(lambda: sidecar.health() == "healthy", 20, "healthy")
        self.assertEqual(self.query("SELECT 7", "host=127.0.0.1 port=6003").out.strip(), "7")
        sidecar.execute("sidecar", "status")
        sidecar.stop()
        self.assertEqual(sidecar.state()["ExitCode"], 0)
