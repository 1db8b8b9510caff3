# What is in the images, and what they say of themselves.
import hashlib
import io
import json
import os
import re
import tarfile
import unittest

import engine
import harness
from engine import HERE, OTHER, Container, docker, image, inspect, needs_engine
from harness import figure, run

SECOND = 1_000_000_000
SBOM = "/usr/local/share/sidecar/sidecar.spdx.json"


def layers(tag):
    """The files of each layer, from the base up."""
    archive = os.path.join(harness.folder(), "image.tar")
    docker("save", "--output", archive, tag)
    with tarfile.open(archive) as saved:
        manifest = json.load(saved.extractfile("manifest.json"))[0]
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(saved.extractfile(name).read())) as layer:
                yield {"/" + x.name.strip("./"): x for x in layer if not x.isdir()}


@needs_engine
class Image(unittest.TestCase):
    def all_images(self):
        for architecture in (HERE, OTHER):
            for target in ("final", "minimal"):
                yield image("classic", architecture, target)
                if engine.buildkit_client():
                    yield image("buildkit", architecture, target)

    def test_every_image_is_set_up_alike(self):
        revision = run("git", "rev-parse", "HEAD").out.strip()
        for tag in self.all_images():
            with self.subTest(tag):
                config = inspect(tag)["Config"]
                self.assertEqual(config["User"], "1000:1000")
                self.assertEqual(config["Entrypoint"], ["/usr/local/bin/sidecar"])
                self.assertFalse(config.get("Cmd"))
                self.assertEqual(list(config["ExposedPorts"]), ["8080/tcp"])
                self.assertEqual(config["Healthcheck"], {
                    "Test": ["CMD", "/usr/local/bin/sidecar", "health"], "Interval": 30 * SECOND,
                    "Timeout": 3 * SECOND, "StartPeriod": 5 * SECOND, "Retries": 3})
                # A port or target set here would stand in the way of FORWARDS.
                names = {x.split("=")[0] for x in config.get("Env") or []}
                self.assertLessEqual(names, {"PATH"})
                labels = {k.removeprefix("org.opencontainers.image."): v
                          for k, v in config["Labels"].items()}
                self.assertEqual(labels["version"], "1.2.3")
                self.assertIn(labels["revision"], (revision, revision + "-dirty"))
                self.assertTrue(labels["source"])

    def test_the_default_image_is_its_base_and_four_files(self):
        *_, ours = layers(image())
        self.assertEqual(sorted(ours), [
            "/etc/group", "/etc/passwd", "/usr/local/bin/sidecar", SBOM])
        self.assertEqual({x.uid for x in ours.values()}, {0})
        self.assertEqual(ours["/usr/local/bin/sidecar"].mode & 0o7777, 0o755)
        base = inspect(engine.base_image())["Size"]
        added = inspect(image())["Size"] - base
        figure("default image, bytes above its base", added)
        figure("default image, bytes in all, on the base at hand", base + added)
        self.assertLessEqual(added, 350_000)
        self.assertLess(base + added, 9_560_000)

    def test_what_is_linked_in_is_told_to_scanners(self):
        folder = harness.folder()
        made = docker("create", image()).out.strip()
        for path in ("/usr/local/bin/sidecar", SBOM):
            docker("cp", f"{made}:{path}", folder)
        docker("rm", made)
        told = os.path.join(folder, os.path.basename(SBOM))
        run("pyspdxtools", "--infile", told)
        with open(told, encoding="utf-8") as file:
            packages = {x["name"]: x for x in json.load(file)["packages"]}
        with open(os.path.join(folder, "sidecar"), "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        self.assertEqual(packages["sidecar"]["checksums"][0]["checksumValue"], digest)
        self.assertEqual(packages["sidecar"]["versionInfo"], "1.2.3")
        self.assertRegex(packages["swift-runtime"]["versionInfo"], r"^6\.")
        self.assertRegex(packages["musl"]["versionInfo"], r"^1\.")

    def test_the_minimal_image_is_two_files(self):
        for builder in ("classic",) + (("buildkit",) if engine.buildkit_client() else ()):
            tag = image(builder, HERE, "minimal")
            only, = layers(tag)
            self.assertEqual(sorted(only), ["/etc/passwd", "/usr/local/bin/sidecar"])
            self.assertLess(inspect(tag)["Size"], 400_000)
        figure("minimal image, bytes", inspect(image(target="minimal"))["Size"])

    def test_the_user_has_a_name_no_shell_and_no_home(self):
        shell = Container("-c", "id; grep sidecar /etc/passwd /etc/group; ls -d ~; true",
                          options=("--entrypoint", "/bin/sh"))
        shell.wait_for("group")
        self.assertIn("uid=1000(sidecar) gid=1000(sidecar)", shell.log())
        self.assertIn("sidecar:x:1000:1000:sidecar:/nonexistent:/sbin/nologin", shell.log())
        self.assertIn("/nonexistent: No such file or directory", shell.log())
        self.assertTrue(docker("run", "--rm", "--network", "none", "--entrypoint", "/bin/grep",
                               image(), "-q", "^root:", "/etc/passwd").code == 0)

    def test_a_shell_nc_and_wget_are_there_to_look_around(self):
        for program in ("sh", "nc", "wget", "sidecar"):
            docker("run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", image(), "-c",
                   f"command -v {program}")

    def test_the_program_names_the_version(self):
        for target in ("final", "minimal"):
            said = docker("run", "--rm", "--network", "none", image(target=target), "--version").out
            self.assertEqual(said, "sidecar 1.2.3\n")

    def test_the_other_platform_s_program_runs_in_its_image(self):
        machine = {"arm64": "aarch64", "amd64": "x86_64"}[OTHER]
        emulator = f"/usr/bin/qemu-{machine}-static"
        for target in ("final", "minimal"):
            container = Container(
                "/usr/local/bin/sidecar", of=image("classic", OTHER, target), options=(
                    "--platform", f"linux/{OTHER}", "--env", "MODE=sleep",
                    "--volume", f"{emulator}:/emulator:ro", "--entrypoint", "/emulator"))
            container.wait_for("started")
            container.execute("/emulator", "/usr/local/bin/sidecar", "health")
            container.stop()
            self.assertEqual(container.state()["ExitCode"], 0, container.log())

    def test_bad_settings_are_told_and_nothing_starts(self):
        said = docker("run", "--rm", "--network", "none", "--env", "TARGET_PORT=08080", image(),
                      wanted=78)
        self.assertIn("the configuration has", said.errors)
        self.assertTrue(re.search("TARGET_HOST", said.errors) and "08080" in said.errors, said)
