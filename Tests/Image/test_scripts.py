# The scripts with wrong, missing and hostile arguments, and where something they need is missing:
# a clear error, the right exit code, and nothing left behind.
import os
import shutil
import signal
import subprocess
import time
import unittest

import engine
import harness
from engine import HERE, NAME, OTHER, build_sh, docker, needs_engine
from harness import ROOT, run, wait_until
from test_build import all_tags, append, copy_of_sources

HOSTILE = ("a b", "a'b", 'a"b', "$(touch stray)", "`touch stray`", "a;touch stray",
           "a\ntouch stray", "../a", "-a", "*", "a&b", "a\\b", "é", "a" * 201, "a/../b", "")
COMMON = ("unexpected", "--unexpected", "-h", "--help=x", "")
TOOLS = ("sh", "env", "cat", "grep", "sed", "git", "dirname", "printf", "tr", "mktemp", "rm",
         "date", "awk", "sleep", "mkdir")


class Scripts(unittest.TestCase):
    def setUp(self):
        self.temporary = harness.folder()
        self.before = self.state()

    def tearDown(self):
        self.assertEqual(self.state(), self.before)
        self.assertEqual(os.listdir(self.temporary), [])

    def state(self):
        there = [run("git", "status", "--porcelain", "--ignored").out]
        if not engine.NO_IMAGE:
            there.append(docker("ps", "--all", "--quiet", "--no-trunc").out)
            there.append(all_tags())
        return there

    def script(self, name, *arguments, wanted, **variables):
        environment = {**os.environ, "TMPDIR": self.temporary, **variables}
        said = run(f"docker/{name}.sh", *arguments, wanted=wanted, env=environment)
        if wanted:
            self.assertTrue(said.errors.startswith(f"{name}.sh: "), said)
            self.assertEqual(said.out, "")
            self.assertNotIn("syntax error", said.errors)
        return said.errors if wanted else said.out

    def test_help_names_every_option_and_needs_nothing(self):
        for name in ("build", "push"):
            told = self.script(name, "--help", wanted=0, PATH=self.tools())
            for option in ("--version", "--name", "--target", "--help"):
                self.assertIn(f"  {option}", told)

    def test_unknown_arguments_are_refused(self):
        for name in ("build", "push"):
            for argument in (*COMMON, *HOSTILE):
                told = self.script(name, argument, wanted=64)
                self.assertIn(f'unexpected argument "{argument}"', told)

    def test_options_without_a_value_are_refused(self):
        options = {"build": ("--platform", "--target", "--name", "--version", "--network"),
                   "push": ("--version", "--target", "--name", "--repository", "--region",
                            "--scan-timeout")}
        for name, all_of_them in options.items():
            for option in all_of_them:
                self.assertIn(f"{option} needs a value", self.script(name, option, wanted=64))
                self.assertIn(f"{option} has an empty value",
                              self.script(name, option, "", wanted=64))

    def test_hostile_values_are_refused_and_not_run(self):
        for value in HOSTILE[:-1]:
            for name, options in (
                    ("build", ("--platform", "--target", "--name", "--version")),
                    ("push", ("--version", "--target", "--name", "--repository", "--region",
                              "--scan-timeout"))):
                for option in options:
                    told = self.script(name, option, value, wanted=64)
                    self.assertIn("expected", told)
        for value in ("a b", "$(touch stray)", "-x"):
            self.script("build", "--network", value, wanted=64)

    def test_values_that_are_merely_wrong_are_refused(self):
        for arguments in (("--platform", "linux/386"), ("--platform", "amd64"),
                          ("--platform", "linux/amd64,"), ("--platform", "linux/amd64 linux/arm64"),
                          ("--target", "builder"), ("--name", "UPPER"), ("--name", "a//b"),
                          ("--name", "host:1/a"), ("--version", "1.0+2"),
                          ("--version", "feature/x")):
            self.script("build", *arguments, wanted=64)
        for arguments in (("--version", "latest"), ("--scan-timeout", "0"),
                          ("--scan-timeout", "5s"), ("--region", "Frankfurt")):
            self.script("push", *arguments, wanted=64)

    def tools(self, *more):
        """A PATH with what a plain machine has, and neither docker nor aws."""
        folder = harness.folder()
        for name in (*TOOLS, *more):
            os.symlink(shutil.which(name), os.path.join(folder, name))
        return folder

    def test_what_is_missing_is_named(self):
        self.assertIn("docker is not installed", self.script(
            "build", wanted=69, PATH=self.tools()))
        self.assertIn("docker is not installed", self.script(
            "push", "--version", "1", wanted=69, PATH=self.tools()))
        if not shutil.which("docker"):
            self.skipTest("no docker client here")
        self.assertIn("aws, the AWS CLI, is not installed", self.script(
            "push", "--version", "1", wanted=69, PATH=self.tools("docker")))
        for name in ("build", "push"):
            self.assertIn("no Docker engine answers", self.script(
                name, "--version", "1", wanted=69, DOCKER_HOST="unix:///nowhere/docker.sock"))

    @needs_engine
    def test_without_image_or_credentials_nothing_is_pushed(self):
        self.assertIn("build it with docker/build.sh first", self.script(
            "push", "--name", "nobody/built-this", "--version", "1", wanted=69))
        tag = f"{NAME}-labelled:1"
        run("docker", "build", "--quiet", "--tag", tag, "-", input="FROM scratch\nLABEL "
            f"org.opencontainers.image.revision={'a' * 40}\n")
        try:
            said = run("docker/push.sh", "--name", f"{NAME}-labelled", "--version", "1", wanted=69,
                       env={**{k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
                            "TMPDIR": self.temporary, "AWS_CONFIG_FILE": os.devnull,
                            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                            "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "eu-central-1"})
            self.assertIn("no AWS credentials that work", said.errors)
        finally:
            docker("rmi", "--force", tag)


@needs_engine
class BuildEnds(unittest.TestCase):
    def setUp(self):
        engine.image()

    def state(self):
        return docker("ps", "--all", "--quiet").out, all_tags()

    def test_a_build_that_fails_leaves_no_tag_and_no_container(self):
        tree = copy_of_sources()
        append(tree, "Sources/CLinux/CLinux.c", "this is no C\n")
        before = self.state()
        temporary = harness.folder()
        said = build_sh("classic", [HERE], tree=tree, wanted=None, TMPDIR=temporary)
        self.assertNotEqual(said.code, 0)
        self.assertEqual((self.state(), os.listdir(temporary)), (before, []))

    def test_a_build_that_is_interrupted_leaves_no_tag_and_no_container(self):
        tree = copy_of_sources()
        append(tree, "Sources/Core/Bytes.swift", "// interrupted\n")
        before = self.state()
        process = subprocess.Popen(
            ["docker/build.sh", "--network", "host", "--name", f"{NAME}-interrupted", "--version",
             "1"], cwd=tree, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.STDOUT, start_new_session=True,
            env=engine.build_environment("classic"))
        for line in process.stdout:
            if "Building for production" in line:
                break
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        process.stdout.read()
        process.stdout.close()
        self.assertEqual(process.wait(60), 130)
        wait_until(lambda: self.state() == before, 60, f"{self.state()} == {before}")

    def test_a_folder_with_spaces_and_quotes_in_its_name_will_do(self):
        tree = os.path.join(harness.folder(), "it's a \"folder\" $HOME")
        shutil.copytree(copy_of_sources(), tree)
        build_sh("classic", [HERE], tree=tree)
