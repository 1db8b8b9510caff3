# A real registry on this machine that asks for ECR's password, and a `docker` that finds it where
# ECR would be and tells moto, which has no registry of its own, what was pushed there.
import base64
import ctypes
import json
import os
import shutil
import stat
import subprocess
import sys
import urllib.request

import harness
from clouds import ACCOUNT, REGION
from harness import accepts, free_port, start, wait_until

HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
PASSWORD = f"{ACCOUNT}-auth-token"  # moto's answer to get-login-password

DOCKER = f"""#!{sys.executable}
import json, os, subprocess, sys
sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})
import registry
sys.exit(registry.docker(json.loads({{settings!r}}), sys.argv[1:]))
"""


class Registry:
    def __init__(self):
        folder = harness.folder()
        self.port = free_port()
        crypt = ctypes.CDLL("libcrypt.so.1").crypt
        crypt.restype = ctypes.c_char_p
        secret = crypt(PASSWORD.encode(), b"$2b$05$" + b"abcdefghijklmnopqrstuu")
        with open(f"{folder}/users", "w", encoding="ascii") as file:
            file.write(f"AWS:{secret.decode()}\n")
        with open(f"{folder}/config.yml", "w", encoding="utf-8") as file:
            json.dump({
                "version": "0.1", "http": {"addr": f"127.0.0.1:{self.port}"},
                "storage": {"filesystem": {"rootdirectory": f"{folder}/data"}},
                "auth": {"htpasswd": {"realm": "test", "path": f"{folder}/users"}}}, file)
        self.process = start("docker-registry", "serve", f"{folder}/config.yml",
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: accepts(self.port), 30, "the registry answers")
        # What a `docker pull` of the tests needs, apart from what the script logs in with.
        self.login = harness.folder()
        token = base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()
        with open(f"{self.login}/config.json", "w", encoding="utf-8") as file:
            json.dump({"auths": {f"localhost:{self.port}": {"auth": token}}}, file)

    def name(self, repository):
        return f"localhost:{self.port}/{repository}"

    def docker_in_place_of_ecr(self):
        """A folder with that `docker`; it notes what it was asked in `calls`."""
        folder = harness.folder()
        settings = json.dumps({"docker": shutil.which("docker"), "port": self.port,
                               "calls": f"{folder}/calls"})
        file = f"{folder}/docker"
        with open(file, "w", encoding="utf-8") as opened:
            opened.write(DOCKER.format(settings=settings))
        os.chmod(file, os.stat(file).st_mode | stat.S_IXUSR)
        return folder


def manifest(port, repository, reference):
    """The stored manifest and its digest."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v2/{repository}/manifests/{reference}", headers={
            "Authorization": "Basic " + base64.b64encode(f"AWS:{PASSWORD}".encode()).decode(),
            "Accept": ", ".join(f"application/vnd.{x}+json" for x in (
                "docker.distribution.manifest.v2", "docker.distribution.manifest.list.v2",
                "oci.image.manifest.v1", "oci.image.index.v1"))})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode(), answer.headers["Docker-Content-Digest"]


def docker(settings, arguments):
    with open(settings["calls"], "a", encoding="utf-8") as file:
        file.write(json.dumps(arguments) + "\n")
    there = f"localhost:{settings['port']}"
    translated = [x.replace(HOST, there) for x in arguments]
    if arguments[0] == "manifest":
        translated.insert(2, "--insecure")
    code = subprocess.run([settings["docker"], *translated], check=False).returncode
    pushes = arguments[0] == "push" or arguments[:2] == ["manifest", "push"]
    if code == 0 and pushes:
        repository, tag = arguments[-1].removeprefix(f"{HOST}/").rsplit(":", 1)
        text, digest = manifest(settings["port"], repository, tag)
        subprocess.run(["aws", "ecr", "put-image", "--repository-name", repository, "--image-tag",
                        tag, "--image-manifest", text, "--image-digest", digest],
                       check=True, stdout=subprocess.DEVNULL)
    return code
