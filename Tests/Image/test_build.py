# Both builders, both platforms, how long a build takes, and what is refused as too large.
import os
import shutil
import unittest

import engine
import harness
from engine import HERE, NAME, OTHER, build_sh, docker, image, needs_engine
from harness import ROOT, figure, run


def copy_of_sources():
    """What a build reads, with its history, to be changed at will."""
    tree = os.path.join(harness.folder(), "tree")
    run("git", "clone", "--quiet", ROOT, tree)
    for name in ("docker", ".ci", "Sources", "Makefile", "Package.swift", ".dockerignore"):
        here, there = os.path.join(ROOT, name), os.path.join(tree, name)
        if os.path.isdir(here):
            shutil.rmtree(there, ignore_errors=True)
            shutil.copytree(here, there)
        else:
            shutil.copy2(here, there)
    return tree


def append(tree, name, text):
    with open(os.path.join(tree, name), "a", encoding="utf-8") as file:
        file.write(text)


def busy(goal):
    """A goal is for a machine of its day that has nothing else to do. How fast this one is, nobody
    can say: a test fails at twice the goal, stretched by what else there is to do. The tests
    themselves are about one of those who want a processor."""
    return 2 * goal * max(1, (os.getloadavg()[0] - 1) / os.cpu_count())


@needs_engine
class Build(unittest.TestCase):
    def test_the_first_build_takes_a_minute_or_so(self):
        limit = busy(60)
        seconds = engine.first_build()
        figure("first build, no layer at hand (goal: 60 s)",
               f"{seconds:.0f} s, at most {limit:.0f}")
        self.assertLess(seconds, limit)

    def test_a_source_change_takes_half_a_minute_or_so_and_installs_nothing(self):
        image()
        tree = copy_of_sources()
        append(tree, "Sources/Core/Bytes.swift", "// changed\n")
        limit = busy(30)
        said = build_sh("classic", [HERE], tree=tree)
        figure("build after a source change (goal: 30 s)",
               f"{said.seconds:.0f} s, at most {limit:.0f}")
        self.assertLess(said.seconds, limit)
        # Every step before the sources are copied comes from the cache.
        before, after = said.out.split("COPY Sources Sources", 1)
        before = before[before.index("AS builder"):]
        self.assertEqual(before.count("Using cache"), before.count("Step ") - 1, said)
        self.assertIn("Compiling", after)

    def test_a_changed_document_or_test_changes_nothing(self):
        image()
        tree = copy_of_sources()
        append(tree, "README.md", "changed\n")
        append(tree, "Sources/ARCHITECTURE.md", "changed\n")
        append(tree, "Tests/new.swift", "changed\n")
        append(tree, "secret.key", "not for the engine\n")
        self.assertNotIn("Compiling", build_sh("classic", [HERE], tree=tree).out)

    def test_buildkit_builds_it_too(self):
        if not engine.buildkit_client():
            self.skipTest("BuildKit: no docker client here speaks it")
        machine = os.uname().machine
        for target in ("final", "minimal"):
            file = program(image("buildkit", HERE, target))
            run(".ci/check-elf", machine, file)
            self.assertEqual(run(file, "--version").out, "sidecar 1.2.3\n")

    def test_the_other_platform_is_built_without_emulation(self):
        builders = ["classic"] + (["buildkit"] if engine.buildkit_client() else [])
        for builder in builders:
            for target in ("final", "minimal"):
                made = engine.inspect(image(builder, OTHER, target))
                self.assertEqual((made["Os"], made["Architecture"]), ("linux", OTHER))
        machine = {"amd64": "x86_64", "arm64": "aarch64"}[OTHER]
        print(run(".ci/check-elf", machine, program(image("classic", OTHER))).out, end="")
        print(run(".ci/smoke", machine, program(image("classic", OTHER)), "1.2.3").out, end="")

    def test_two_platforms_get_tags_of_their_own_and_print_their_size(self):
        image()
        image("classic", OTHER)
        # `minimal` takes no more than two files of its base, which may be a stand-in for both.
        said = build_sh("classic", ["amd64", "arm64"], "minimal", ALPINE=engine.other_base()).out
        for architecture in ("amd64", "arm64"):
            self.assertRegex(said, rf"linux/{architecture}: \d+ bytes, \d+ of them added")
            for tag in ("1.2.3", "latest"):
                tag = f"{NAME}-classic:{tag}-minimal-{architecture}"
                self.assertIn(f"{tag}\n", said)
                self.assertEqual(engine.inspect(tag)["Architecture"], architecture)
        commit = run("git", "rev-parse", "--short=12", "HEAD").out.strip()
        self.assertRegex(said, rf"{NAME}-classic:{commit}(-dirty)?-minimal-amd64\n")

    def test_what_adds_too_much_is_refused_and_gets_no_tag(self):
        image()
        tree = copy_of_sources()
        dockerfile = harness.text_of("docker", "Dockerfile")
        ballast = "RUN head -c 340000 /dev/urandom >/final/ballast\n"
        grown = dockerfile.replace("FROM ${EMPTY}", f"{ballast}FROM ${{EMPTY}}")
        with open(os.path.join(tree, "docker/Dockerfile"), "w", encoding="utf-8") as file:
            file.write(grown)
        self.refused(tree)

    def test_what_stands_on_too_large_a_base_is_refused_and_gets_no_tag(self):
        image()
        files = harness.folder()
        with open(os.path.join(files, "ballast"), "wb") as file:
            file.write(os.urandom(9_500_000))
        append(files, "Dockerfile", f"FROM {engine.base_image()}\nCOPY ballast /\n")
        docker("build", "--quiet", "--tag", f"{NAME}-large:1", files,
               env=engine.build_environment("classic"))
        self.refused(ROOT, ALPINE=f"{NAME}-large:1")

    def refused(self, tree, **variables):
        before = all_tags()
        said = build_sh("classic", [HERE], tree=tree, wanted=1, **variables)
        self.assertIn("refused: at most 350000 bytes may be added, to 9560000 in all", said.errors)
        self.assertEqual(all_tags(), before)


def all_tags():
    named = docker("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").out.split("\n")
    return sorted(line for line in named if not line.startswith("<none>"))


def program(tag):
    """The program, copied out of an image."""
    number = docker("create", "--network", "none", tag).out.strip()
    target = os.path.join(harness.folder(), "sidecar")
    docker("cp", f"{number}:/usr/local/bin/sidecar", target)
    docker("rm", number)
    return target
