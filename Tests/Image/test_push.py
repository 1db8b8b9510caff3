# docker/push.sh from the login to the scan: a real registry takes what is pushed, and moto is the
# rest of ECR.
import json
import os
import shutil
import unittest
import urllib.request

import clouds
import engine
import harness
import registry
from clouds import REGION
from engine import HERE, NAME, build_sh, docker, inspect, needs_engine
from harness import run
from test_build import copy_of_sources


def committed(tree):
    """The sources as they are, as a commit: only such can be pushed."""
    run("git", "add", "--all", cwd=tree)
    run("git", "-c", "user.name=t", "-c", "user.email=t@example", "commit", "--quiet",
        "--allow-empty", "--message", "test", cwd=tree)
    return run("git", "rev-parse", "--short=12", "HEAD", cwd=tree).out.strip()


@needs_engine
class Push(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        engine.image()
        cls.moto = clouds.Moto()
        cls.registry = registry.Registry()
        cls.tree = copy_of_sources()
        cls.commit = committed(cls.tree)

    @classmethod
    def tearDownClass(cls):
        harness.end(cls.moto.process)
        harness.end(cls.registry.process)

    def setUp(self):
        self.local = f"{NAME}-push"
        self.shim = self.registry.docker_in_place_of_ecr()

    def tearDown(self):
        tags = docker("images", "--format", "{{.Repository}}:{{.Tag}}").out.split()
        for tag in tags:
            if tag.startswith((f"{self.local}:", f"localhost:{self.registry.port}/")):
                docker("rmi", "--force", tag)

    def build(self, *architectures):
        """Builds the commit, and gives it the name to push: one by one, as the base for the other
        platform may be a stand-in of its own."""
        for architecture in architectures:
            build_sh("classic", [architecture], tree=self.tree)
            suffix = "" if len(architectures) == 1 else f"-{architecture}"
            docker("tag", f"{NAME}-classic:1.2.3", f"{self.local}:1.2.3{suffix}")

    def push(self, repository, *more, wanted=0):
        temporary = harness.folder()
        said = run(
            "docker/push.sh", "--name", self.local, "--version", "1.2.3", "--repository",
            repository, "--region", REGION, *more, cwd=self.tree, wanted=wanted, env={
                **self.moto.environment, "TMPDIR": temporary,
                "PATH": f"{self.shim}:{os.environ['PATH']}"})
        # Neither the login nor a tag of ECR's stays.
        self.assertEqual(os.listdir(temporary), [])
        left = docker("images", "--format", "{{.Repository}}").out
        self.assertNotIn(f"localhost:{self.registry.port}/", left)
        return said

    def tags(self, repository):
        """Tag to digest, as ECR has them."""
        listed = self.moto.aws("ecr", "list-images", "--repository-name", repository)["imageIds"]
        return {x["imageTag"]: x["imageDigest"] for x in listed}

    def calls(self):
        with open(f"{self.shim}/calls", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def scan_says(self, repository, status, **counts):
        result = {"imageScanStatus": {"status": status}, "repositoryName": repository,
                  "imageScanFindings": {"findingSeverityCounts": counts}, "imageId": {}}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.moto.port}/moto-api/static/ecr/scan-finding-results",
            json.dumps({"results": [result], "region": REGION}).encode(),
            {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=30).close()

    def test_what_is_pushed_is_what_is_pulled(self):
        self.build(HERE)
        said = self.push("team/one")
        self.assertIn("creating the repository team/one", said.out)
        self.assertIn("scanned, no critical findings", said.out)
        tags = self.tags("team/one")
        self.assertEqual(set(tags), {self.commit, "1.2.3", "latest"})
        self.assertEqual(len(set(tags.values())), 1)
        made, = self.moto.aws("ecr", "describe-repositories", "--repository-names", "team/one"
                              )["repositories"]
        self.assertEqual(made["imageTagMutability"], "IMMUTABLE_WITH_EXCLUSION")

        built = inspect(f"{self.local}:1.2.3")["Id"]
        reference = f"{self.registry.name('team/one')}:{self.commit}"
        docker("rmi", "--force", f"{self.local}:1.2.3")
        docker("pull", reference, env={**os.environ, "DOCKER_CONFIG": self.registry.login})
        pulled = inspect(reference)
        self.assertEqual(pulled["RepoDigests"],
                         [f"{self.registry.name('team/one')}@{tags['latest']}"])
        self.assertEqual(pulled["Id"], built)
        self.assertEqual(registry.manifest(self.registry.port, "team/one", self.commit)[1],
                         tags["1.2.3"])

        # The password goes in by standard input, and what is there is not pushed again.
        login = next(x for x in self.calls() if x[0] == "login")
        self.assertIn("--password-stdin", login)
        self.assertNotIn(registry.PASSWORD, json.dumps(self.calls()))
        docker("tag", reference, f"{self.local}:1.2.3")
        docker("rmi", reference)
        os.remove(f"{self.shim}/calls")
        self.push("team/one")
        self.assertNotIn("push", [x[0] for x in self.calls()])
        self.assertEqual(self.tags("team/one"), tags)

    def test_two_platforms_become_one_list(self):
        self.build("amd64", "arm64")
        self.push("two")
        tags = self.tags("two")
        self.assertEqual(set(tags), {self.commit, f"{self.commit}-amd64", f"{self.commit}-arm64",
                                     "1.2.3", "latest"})
        self.assertEqual(tags[self.commit], tags["latest"])
        text, digest = registry.manifest(self.registry.port, "two", self.commit)
        self.assertEqual(digest, tags["1.2.3"])
        self.assertEqual(
            {(x["platform"]["architecture"], x["digest"]) for x in json.loads(text)["manifests"]},
            {(x, tags[f"{self.commit}-{x}"]) for x in ("amd64", "arm64")})
        reference = f"{self.registry.name('two')}:{self.commit}"
        docker("pull", reference, env={**os.environ, "DOCKER_CONFIG": self.registry.login})
        self.assertEqual(inspect(reference)["Architecture"], HERE)

    def test_a_critical_finding_keeps_version_and_latest_from_the_image(self):
        self.build(HERE)
        self.scan_says("three", "COMPLETE", CRITICAL=2, HIGH=1)
        said = self.push("three", wanted=1)
        self.assertIn("2 critical findings", said.errors)
        self.assertEqual(set(self.tags("three")), {self.commit})

    def test_a_scan_that_fails_or_does_not_end_is_no_clean_scan(self):
        self.build(HERE)
        self.scan_says("four", "FAILED")
        self.assertIn("ended as FAILED", self.push("four", wanted=1).errors)
        self.scan_says("five", "IN_PROGRESS")
        self.assertIn("no scan of", self.push("five", "--scan-timeout", "1", wanted=1).errors)
        self.assertEqual(set(self.tags("four")), {self.commit})

    def test_a_version_is_never_moved_and_latest_is(self):
        self.build(HERE)
        self.push("six")
        tags = self.tags("six")
        tree, self.tree = self.tree, os.path.join(harness.folder(), "next")
        self.addCleanup(setattr, self, "tree", tree)
        shutil.copytree(tree, self.tree)
        commit = committed(self.tree)
        self.build(HERE)
        said = self.push("six", wanted=1)
        self.assertIn("six:1.2.3 is another image already", said.errors)
        self.assertEqual(self.tags("six"), tags)
        docker("tag", f"{self.local}:1.2.3", f"{self.local}:1.2.4")
        self.push("six", "--version", "1.2.4")
        now = self.tags("six")
        self.assertEqual(now["latest"], now[commit])
        self.assertEqual(now["1.2.3"], tags["1.2.3"])
        self.assertNotEqual(now["latest"], tags["latest"])

    def test_what_is_not_committed_is_not_pushed(self):
        shutil.copytree(self.tree, changed := os.path.join(harness.folder(), "changed"))
        with open(f"{changed}/README.md", "a", encoding="utf-8") as file:
            file.write("changed\n")
        build_sh("classic", [HERE], tree=changed)
        docker("tag", f"{NAME}-classic:1.2.3", f"{self.local}:1.2.3")
        said = self.push("seven", wanted=1)
        self.assertIn("only what is committed can be pushed", said.errors)
        self.assertNotEqual(self.moto.aws("ecr", "describe-repositories", "--repository-names",
                                          "seven", wanted=None).code, 0)

    def test_the_minimal_image_is_pushed_without_a_scan(self):
        build_sh("classic", [HERE], "minimal", tree=self.tree)
        docker("tag", f"{NAME}-classic:1.2.3-minimal", f"{self.local}:1.2.3-minimal")
        said = self.push("eight", "--target", "minimal")
        self.assertIn("not scanned", said.out)
        self.assertEqual(set(self.tags("eight")), {
            f"{self.commit}-minimal", "1.2.3-minimal", "latest-minimal"})
