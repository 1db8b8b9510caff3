# The Docker engine: images that are built once for all tests, and containers that end with them.
import functools
import json
import os
import shutil
import time
import unittest

import harness
from harness import ROOT, run

NO_IMAGE = os.environ.get("SIDECAR_NO_IMAGE", "")
needs_engine = unittest.skipIf(NO_IMAGE, f"no image is built or run: missing {NO_IMAGE}")
NAME = f"sidecar-test/{os.getpid()}"
PLATFORMS = {"x86_64": "amd64", "aarch64": "arm64"}
HERE = PLATFORMS[os.uname().machine]
OTHER = {"amd64": "arm64", "arm64": "amd64"}[HERE]
_containers = []
_images_before = None


def docker(*arguments, **options):
    return run("docker", *arguments, **options)


def inspect(name, kind="image"):
    return json.loads(docker(kind, "inspect", name).out)[0]


def remember_images():
    """What is here by now is not ours to remove."""
    global _images_before
    if _images_before is None:
        _images_before = set(docker("images", "--all", "--quiet", "--no-trunc").out.split())


def base_image():
    line = next(x for x in harness.text_of("docker", "Dockerfile").splitlines() if "ALPINE=" in x)
    return line.split("=", 1)[1]


@functools.cache
def buildkit_client():
    """The folder of a docker client that speaks BuildKit, or None: one of 23 and later needs a
    plugin for it, and an older one may lie behind it in Debian's own folder."""
    for client in filter(None, (shutil.which("docker"), "/usr/bin/docker")):
        if not os.path.exists(client):
            continue
        version = run(client, "version", "--format", "{{.Client.Version}}").out
        has_plugin = run(client, "buildx", "version", wanted=None).code == 0
        if has_plugin or int(version.split(".")[0]) < 23:
            chosen = harness.folder()
            os.symlink(client, os.path.join(chosen, "docker"))
            return chosen
    harness.not_run.add("BuildKit: no docker client here speaks it")
    return None


def build_environment(builder, **variables):
    environment = {**os.environ, **variables}
    environment["DOCKER_BUILDKIT"] = {"classic": "0", "buildkit": "1"}[builder]
    if builder == "buildkit":
        environment["PATH"] = f"{buildkit_client()}:{environment['PATH']}"
    return environment


@functools.cache
def other_base():
    """The base for the other architecture: the public image where it was pulled. Where it was made
    on this machine, one without any program, so that nothing can run in it, emulated or not."""
    if inspect(base_image())["RepoDigests"]:
        return ""
    harness.not_run.add(f"{base_image()} for {OTHER} cannot be pulled: an image without programs "
                        "stands in for it")
    files = harness.folder()
    os.mkdir(os.path.join(files, "etc"))
    for name in ("passwd", "group"):
        with open(os.path.join(files, "etc", name), "w", encoding="utf-8") as file:
            file.write("root:x:0:0:root:/root:/bin/sh\n" if name == "passwd" else "root:x:0:\n")
    with open(os.path.join(files, "Dockerfile"), "w", encoding="utf-8") as file:
        file.write("FROM scratch\nCOPY etc /etc/\n")
    tag = f"{NAME}-base:{OTHER}"
    docker("build", "--quiet", "--platform", f"linux/{OTHER}", "--tag", tag, files,
           env={**os.environ, "DOCKER_BUILDKIT": "0"})
    return tag


def build_sh(builder, platforms, target="final", tree=ROOT, wanted=0, **variables):
    """docker/build.sh; each builder and target has tags of its own."""
    remember_images()
    if platforms == [OTHER] and "ALPINE" not in variables and other_base():
        variables["ALPINE"] = other_base()
    return run(
        "docker/build.sh", "--network", "host", "--name", f"{NAME}-{builder}", "--target", target,
        "--version", "1.2.3", "--platform", ",".join(f"linux/{x}" for x in platforms), cwd=tree,
        timeout=900, wanted=wanted, env=build_environment(builder, **variables))


@functools.cache
def first_build():
    """The seconds of a build that finds the base images and nothing else. It is the file's own,
    without docker/build.sh, which then finds all layers."""
    remember_images()
    return docker(
        "build", "--no-cache", "--force-rm", "--network", "host", "--file", "docker/Dockerfile",
        "--build-arg", "VERSION=1.2.3", "--tag", f"{NAME}-first:1", ".", timeout=900,
        env=build_environment("classic")).seconds


@functools.cache
def image(builder="classic", architecture=HERE, target="final"):
    """The image's tag; it is built when a test first asks for it."""
    if builder == "classic":
        first_build()
    build_sh(builder, [architecture], target)
    suffix = "" if target == "final" else "-minimal"
    own = f"{NAME}-{builder}:{architecture}{suffix}"
    docker("tag", f"{NAME}-{builder}:1.2.3{suffix}", own)
    return own


class Container:
    """A container of the image, or of another with other arguments."""

    def __init__(self, *arguments, options=(), of=None, network="none"):
        self.id = docker("create", "--network", network, *options, of or image(), *arguments
                         ).out.strip()
        _containers.append(self.id)
        self.began, self.began_at = time.monotonic(), time.time()
        docker("start", self.id)

    def state(self):
        return inspect(self.id, "container")["State"]

    def health(self):
        return self.state()["Health"]["Status"]

    def log(self):
        said = docker("logs", self.id)
        return said.out + said.errors

    def wait_for(self, text, seconds=20):
        harness.wait_until(lambda: text in self.log(), seconds, f"\"{text}\" in {self.log()}")

    def execute(self, *command, options=(), **more):
        return docker("exec", *options, self.id, *command, **more)

    def stop(self, seconds=30):
        return docker("stop", "--time", str(seconds), self.id)

    def remove(self):
        docker("rm", "--force", "--volumes", self.id, wanted=None)


def remove_all():
    """By their numbers: containers, what the tests tagged, what the builder left untagged."""
    for number in _containers:
        docker("rm", "--force", "--volumes", number, wanted=None)
    if _images_before is None:
        return
    tags = docker("images", "--format", "{{.Repository}}:{{.Tag}}", wanted=None).out.split()
    tags.sort(key=lambda tag: tag.startswith(f"{NAME}-base"))  # others stand on it
    for tag in tags:
        if tag.startswith(f"{NAME}-"):
            docker("rmi", "--force", tag, wanted=None)
    for label in ("sidecar.stage", "org.opencontainers.image.title=sidecar"):
        left = docker("images", "--quiet", "--no-trunc", "--filter", "dangling=true",
                      "--filter", f"label={label}", wanted=None).out.split()
        for number in set(left) - _images_before:
            docker("rmi", number, wanted=None)
