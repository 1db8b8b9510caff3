# The form of everything in docker/ and .github/, by the tools that know it; and that no
# documented command, port or time differs between the files.
import glob
import json
import os
import re
import unittest

import yaml
from harness import ROOT, run, text_of, tool


class Forms(unittest.TestCase):
    def test_hadolint_finds_nothing_in_the_dockerfile(self):
        run(tool("hadolint"), "--failure-threshold", "style", "docker/Dockerfile")

    def test_shellcheck_finds_nothing_in_the_scripts(self):
        run("shellcheck", "--shell", "sh", "docker/build.sh", "docker/push.sh")
        run("shellcheck", "Tests/Image/run")

    def test_the_scripts_are_read_by_a_posix_shell(self):
        for script in ("docker/build.sh", "docker/push.sh"):
            run("dash", "-n", script)

    def test_the_compose_file_fits_its_schema(self):
        run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec",
            "docker/compose.yaml")

    def test_the_workflow_fits_its_schema(self):
        run(tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows",
            ".github/workflows/ci.yml")

    def test_cloudformation_s_own_linter_finds_nothing(self):
        run(tool("cfn-lint"), "--include-checks", "I", "--", *glob.glob(f"{ROOT}/docker/e*/*.yaml"))

    def test_cloudformation_s_files_have_no_aliases_which_it_does_not_know(self):
        for file in glob.glob(f"{ROOT}/docker/e*/*.yaml"):
            tokens = list(yaml.scan(text_of(file)))
            self.assertFalse([x for x in tokens if isinstance(x, (yaml.AliasToken,
                                                                  yaml.AnchorToken))], file)

    def test_the_workflow_tests_builds_and_pushes_by_oidc_on_tags_alone(self):
        jobs = yaml.safe_load(text_of(".github", "workflows", "ci.yml"))["jobs"]
        steps = {name: [x.get("run", x.get("uses", "")) for x in job["steps"]]
                 for name, job in jobs.items()}
        self.assertIn("make test", steps["test"])
        self.assertTrue(any("linux/amd64,linux/arm64" in x for x in steps["image"]))
        self.assertEqual(jobs["push"]["if"], "github.ref_type == 'tag'")
        self.assertEqual(jobs["push"]["permissions"]["id-token"], "write")
        self.assertEqual(set(jobs["push"]["needs"]), {"test", "image"})
        self.assertTrue(any("docker/push.sh" in x for x in steps["push"]))
        for name in ("test", "image"):
            self.assertNotIn("id-token", jobs[name].get("permissions", {}))

    def test_the_base_images_are_named_in_one_place(self):
        lines = text_of("docker", "Dockerfile").splitlines()
        self.assertEqual(len([x for x in lines if re.search(r"(alpine|swift):\d", x)]), 2)
        self.assertEqual([x for x in lines if x.startswith("FROM ") and ":" in
                          x.replace("${PLATFORM:-", "").replace("${TARGETPLATFORM:-", "")
                          .replace("${BUILDPLATFORM:-", "")], [])

    def test_only_what_the_dockerfile_copies_reaches_the_engine(self):
        allowed = {x[1:] for x in text_of(".dockerignore").splitlines() if x.startswith("!")}
        copied = set()
        for line in text_of("docker", "Dockerfile").splitlines():
            if line.startswith("COPY ") and "--from" not in line:
                copied.update(line.split()[1:-1])
        self.assertEqual(allowed, copied)
        self.assertIn("\n*\n", text_of(".dockerignore"))

    def test_the_documents_name_files_and_options_that_are_there(self):
        text = text_of("docker", "README.md")
        for name in re.findall(r"\bdocker/[A-Za-z0-9_./-]*[a-zA-Z0-9]", text):
            self.assertTrue(os.path.exists(os.path.join(ROOT, name)), name)
        for script in ("build", "push"):
            told = run(f"docker/{script}.sh", "--help").out
            for line in re.findall(rf"docker/{script}\.sh[^\n`]*", text):
                for option in re.findall(r" (--[a-z-]+)", line):
                    self.assertIn(option, told, line)

    def test_the_documents_json_is_json(self):
        for block in re.findall(r"```json\n(.*?)```", text_of("docker", "README.md"), re.DOTALL):
            json.loads(block)
