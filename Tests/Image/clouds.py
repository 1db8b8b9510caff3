# CloudFormation, Terraform and JSON read as plain values, and moto as an AWS to deploy them to.
import json
import os
import re
import subprocess

import hcl2
import yaml
from harness import ROOT, accepts, free_port, run, start, text_of, tool, wait_until

ACCOUNT, REGION = "123456789012", "eu-central-1"


class _Loader(yaml.SafeLoader):
    pass


def _intrinsic(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {f"!{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def template(*parts):
    return yaml.load(text_of(*parts), _Loader)  # noqa: S506, a SafeLoader that knows !Ref


def resolve(value, known):
    """Replaces references by what is known; conditions by their first branch."""
    if isinstance(value, list):
        return [resolve(x, known) for x in value]
    if not isinstance(value, dict):
        return value
    if "!Ref" in value:
        return known[value["!Ref"]]
    if "!GetAtt" in value:
        return known[value["!GetAtt"]]
    if "!Sub" in value:
        return re.sub(r"\$\{([^}]+)\}", lambda found: known[found[1]], value["!Sub"])
    if "!If" in value:
        return resolve(value["!If"][1], known)
    return {name: resolve(x, known) for name, x in value.items()}


def _plain(value):
    """python-hcl2 keeps quotes around strings, and notes where it found a block."""
    if isinstance(value, dict):
        return {_plain(k): _plain(v) for k, v in value.items() if not k.startswith("__")}
    if isinstance(value, list):
        return [_plain(x) for x in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def terraform(*parts):
    return _plain(hcl2.loads(text_of(*parts)))


def here_document(text):
    """The JSON in <<-JSON ... JSON."""
    return json.loads(text[text.index("\n"):text.rindex("\n")])


class Moto:
    """A local AWS, empty, and the AWS CLI to talk to it."""

    def __init__(self):
        self.port = free_port()
        self.process = start(
            tool("moto_server"), "-H", "127.0.0.1", "-p", str(self.port), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "MOTO_ACCOUNT_ID": ACCOUNT})
        wait_until(lambda: accepts(self.port), 60, "moto answers")
        # Nothing of the developer's own account gets in.
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing", "AWS_PAGER": "",
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull}

    def aws(self, *arguments, wanted=0):
        """The CLI's answer, as values where it is JSON."""
        said = run("aws", *arguments, "--output", "json", wanted=wanted, cwd=ROOT,
                   env=self.environment)
        return json.loads(said.out) if said.out.startswith("{") else said

    def deploy(self, file, stack, **parameters):
        """Makes the stack, and returns its outputs, which moto forgets with `deploy`."""
        self.aws("cloudformation", "create-stack", "--template-body", f"file://{file}",
                 "--stack-name", stack, "--capabilities", "CAPABILITY_IAM", "--parameters",
                 json.dumps([{"ParameterKey": name, "ParameterValue": value}
                             for name, value in parameters.items()]))
        self.aws("cloudformation", "wait", "stack-create-complete", "--stack-name", stack)
        made, = self.aws("cloudformation", "describe-stacks", "--stack-name", stack)["Stacks"]
        return {x["OutputKey"]: x["OutputValue"] for x in made["Outputs"]}


def camel(value):
    """The API's names for CloudFormation's; what they name stays, where it is a map of strings."""
    if isinstance(value, list):
        return [camel(x) for x in value]
    if isinstance(value, dict):
        return {k[0].lower() + k[1:]: v if k == "Options" else camel(v) for k, v in value.items()}
    return value
