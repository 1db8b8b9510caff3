# The CloudFormation and the task definitions, deployed to a local AWS (moto) by the AWS CLI, and
# the Terraform against the CloudFormation. What moto's CloudFormation leaves out is put by the
# CLI with the template's own fields, so that the service's API judges them.
import json
import re
import unittest

import clouds
import harness
import yaml
from clouds import ACCOUNT, REGION, camel, here_document, resolve, template, terraform
from harness import text_of

PLACEHOLDERS = {
    "ACCOUNT": ACCOUNT, "REGION": REGION, "VERSION": "1.2.3", "APPLICATION_IMAGE": "example/app:1",
    "WRITER_ENDPOINT": "writer.example", "READER_ENDPOINT": "reader.example"}
TASKS = ("aurora-mysql", "aurora-postgresql", "debug")


def task_definition(name, architecture="ARM64"):
    text = text_of("docker", "ecs", f"{name}.json")
    for placeholder, value in PLACEHOLDERS.items():
        text = re.sub(rf"\b{placeholder}\b", value, text)
    return json.loads(text.replace('"ARM64"', f'"{architecture}"'))


def seconds(text):
    return float(text.rstrip("s"))


class Repository(unittest.TestCase):
    def setUp(self):
        self.template = template("docker", "ecr", "repository.yaml")
        self.resource = self.template["Resources"]["Repository"]
        parts = terraform("docker", "ecr", "main.tf")
        self.terraform = {kind: block[kind]["repository"]
                          for block in parts["resource"] for kind in block}
        self.variables = {n: x for block in parts["variable"] for n, x in block.items()}
        self.outputs = {n: x["value"] for block in parts["output"] for n, x in block.items()}

    def test_cloudformation_and_terraform_are_equal_field_by_field(self):
        ours, theirs = dict(self.resource["Properties"]), dict(self.terraform["aws_ecr_repository"])
        self.assertEqual(self.template["Parameters"]["RepositoryName"]["Default"],
                         self.variables["repository_name"]["default"])
        self.assertEqual(self.template["Parameters"]["PullRoleArn"]["Default"],
                         self.variables["pull_role_arn"]["default"])
        self.assertEqual((ours.pop("RepositoryName"), theirs.pop("name")),
                         ({"!Ref": "RepositoryName"}, "${var.repository_name}"))
        self.assertEqual(ours.pop("ImageTagMutability"), theirs.pop("image_tag_mutability"))
        self.assertEqual(
            [(x["ImageTagMutabilityExclusionFilterType"],
              x["ImageTagMutabilityExclusionFilterValue"])
             for x in ours.pop("ImageTagMutabilityExclusionFilters")],
            [(x["filter_type"], x["filter"])
             for x in theirs.pop("image_tag_mutability_exclusion_filter")])
        self.assertEqual([ours.pop("ImageScanningConfiguration")],
                         [{"ScanOnPush": x["scan_on_push"]}
                          for x in theirs.pop("image_scanning_configuration")])
        self.assertEqual([ours.pop("EncryptionConfiguration")],
                         [{"EncryptionType": x["encryption_type"]}
                          for x in theirs.pop("encryption_configuration")])
        self.assertEqual((self.resource["DeletionPolicy"], theirs.pop("lifecycle")),
                         ("Retain", [{"prevent_destroy": True}]))
        self.assertEqual(json.loads(ours.pop("LifecyclePolicy")["LifecyclePolicyText"]),
                         here_document(self.terraform["aws_ecr_lifecycle_policy"]["policy"]))
        # Both optional: there with a role, absent without.
        condition, policy, absent = ours.pop("RepositoryPolicyText")["!If"]
        self.assertEqual(self.template["Conditions"][condition],
                         {"!Not": [{"!Equals": [{"!Ref": "PullRoleArn"}, ""]}]})
        self.assertEqual(absent, {"!Ref": "AWS::NoValue"})
        optional = self.terraform["aws_ecr_repository_policy"]
        self.assertEqual(optional["count"], '${var.pull_role_arn == "" ? 0 : 1}')
        role = f"arn:aws:iam::{ACCOUNT}:role/x"
        self.assertEqual(
            resolve(policy, {"PullRoleArn": role}),
            here_document(optional["policy"].replace("${var.pull_role_arn}", role)))
        # Nothing is left over on either side.
        self.assertEqual((ours, theirs), ({}, {}))
        self.assertEqual(set(self.terraform), {
            "aws_ecr_repository", "aws_ecr_lifecycle_policy", "aws_ecr_repository_policy"})
        repository = "aws_ecr_repository.repository"
        for kind in ("aws_ecr_lifecycle_policy", "aws_ecr_repository_policy"):
            self.assertEqual(self.terraform[kind]["repository"], f"${{{repository}.name}}")
        self.assertEqual(self.template["Outputs"], {
            "RepositoryUrl": {"Value": {"!GetAtt": "Repository.RepositoryUri"}},
            "RepositoryArn": {"Value": {"!GetAtt": "Repository.Arn"}}})
        self.assertEqual(self.outputs, {"repository_url": f"${{{repository}.repository_url}}",
                                        "repository_arn": f"${{{repository}.arn}}"})


class Deployed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.moto = clouds.Moto()
        cls.aws = staticmethod(cls.moto.aws)

    @classmethod
    def tearDownClass(cls):
        harness.end(cls.moto.process)

    def repository(self, name):
        made, = self.aws("ecr", "describe-repositories", "--repository-names", name
                         )["repositories"]
        return made

    def test_the_repository_is_there_as_specified(self):
        role = f"arn:aws:iam::{ACCOUNT}:role/puller"
        outputs = self.moto.deploy("docker/ecr/repository.yaml", "ecr", RepositoryName="one",
                                   PullRoleArn=role)
        made = self.repository("one")
        self.assertEqual(outputs, {"RepositoryUrl": made["repositoryUri"],
                                   "RepositoryArn": made["repositoryArn"]})
        self.assertEqual(made["imageTagMutability"], "IMMUTABLE_WITH_EXCLUSION")
        self.assertEqual(made["imageTagMutabilityExclusionFilters"],
                         [{"filterType": "WILDCARD", "filter": "latest*"}])

        # The rest is passed over by moto's CloudFormation.
        properties = template("docker", "ecr", "repository.yaml")["Resources"]["Repository"][
            "Properties"]
        given = camel({x: properties[x] for x in (
            "ImageScanningConfiguration", "EncryptionConfiguration")})
        self.aws("ecr", "create-repository", "--repository-name", "two", "--cli-input-json",
                 json.dumps(given))
        made = self.repository("two")
        self.assertEqual(made["imageScanningConfiguration"], {"scanOnPush": True})
        self.assertEqual(made["encryptionConfiguration"]["encryptionType"], "AES256")
        lifecycle = properties["LifecyclePolicy"]["LifecyclePolicyText"]
        self.aws("ecr", "put-lifecycle-policy", "--repository-name", "one",
                 "--lifecycle-policy-text", lifecycle)
        kept = self.aws("ecr", "get-lifecycle-policy", "--repository-name", "one")
        untagged, tagged = json.loads(kept["lifecyclePolicyText"])["rules"]
        self.assertEqual(untagged["selection"], {
            "tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days",
            "countNumber": 7})
        self.assertEqual(tagged["selection"], {
            "tagStatus": "tagged", "tagPatternList": ["*"], "countType": "imageCountMoreThan",
            "countNumber": 30})
        self.assertLess(untagged["rulePriority"], tagged["rulePriority"])
        policy = resolve(properties["RepositoryPolicyText"], {"PullRoleArn": role})
        self.aws("ecr", "set-repository-policy", "--repository-name", "one", "--policy-text",
                 json.dumps(policy))
        kept = self.aws("ecr", "get-repository-policy", "--repository-name", "one")
        self.assertEqual(json.loads(kept["policyText"]), policy)

    def test_each_task_definition_is_taken_for_both_architectures(self):
        for name in TASKS:
            for architecture in ("ARM64", "X86_64"):
                given = task_definition(name, architecture)
                self.assertEqual(given["runtimePlatform"]["cpuArchitecture"], architecture)
                made = self.aws("ecs", "register-task-definition", "--cli-input-json",
                                json.dumps(given))["taskDefinition"]
                for field, value in given.items():
                    if field == "containerDefinitions":
                        for ours, theirs in zip(value, made[field], strict=True):
                            self.assertEqual({x: theirs.get(x) for x in ours}, ours)
                    else:
                        self.assertEqual(made[field], value, field)

    def test_the_stack_is_there_as_specified(self):
        subnets = [x["SubnetId"] for x in self.aws("ec2", "describe-subnets")["Subnets"]][:2]
        group = self.aws("ec2", "create-security-group", "--group-name", "x", "--description", "x"
                         )["GroupId"]
        given = {"ApplicationImage": "example/app:1", "SidecarImage": "example/sidecar:1",
                 "Forwards": "5432=writer.example:5432,5433=reader.example:5432",
                 "Subnets": ",".join(subnets), "SecurityGroups": group}
        outputs = self.moto.deploy("docker/ecs/service.yaml", "shop", **given)
        cluster, = self.aws("ecs", "describe-clusters", "--clusters", "shop", "--include",
                            "CONFIGURATIONS", "SETTINGS")["clusters"]
        self.assertEqual(cluster["status"], "ACTIVE")
        groups = self.aws("logs", "describe-log-groups")["logGroups"]
        self.assertIn("/ecs/shop", [x["logGroupName"] for x in groups])
        self.assertEqual(outputs["LogGroupName"], "/ecs/shop")

        resources = template("docker", "ecs", "service.yaml")["Resources"]
        made = self.aws("cloudformation", "describe-stack-resources", "--stack-name", "shop")
        roles = {x.get("LogicalResourceId"): x.get("PhysicalResourceId")
                 for x in made["StackResources"]}
        known = {
            **{k: v["Default"] for k, v in template("docker", "ecs", "service.yaml")["Parameters"]
               .items() if "Default" in v}, **given, "Subnets": subnets, "SecurityGroups": [group],
            "AWS::StackName": "shop", "AWS::Region": REGION, "AWS::Partition": "aws",
            "LogGroup": "/ecs/shop", "Cluster": "shop", "Service.Name": "shop",
            "TaskDefinition": outputs["TaskDefinitionArn"],
            "ScalableTarget": "unused"}
        for role in ("ExecutionRole", "TaskRole"):
            known[f"{role}.Arn"] = self.aws("iam", "get-role", "--role-name", roles[role]
                                            )["Role"]["Arn"]
        policy = self.aws("iam", "get-role-policy", "--role-name", roles["TaskRole"],
                          "--policy-name", "ecs-exec")["PolicyDocument"]
        # moto's CloudFormation hands it out as Python writes it; YAML reads that, and JSON.
        policy = yaml.safe_load(str(policy))
        self.assertEqual(sorted(policy["Statement"][0]["Action"]), [
            f"ssmmessages:{verb}{kind}Channel" for verb in ("Create", "Open")
            for kind in ("Control", "Data")])

        wanted = camel(resolve(resources["TaskDefinition"]["Properties"], known))
        made = self.aws("ecs", "describe-task-definition", "--task-definition",
                        outputs["TaskDefinitionArn"])["taskDefinition"]
        for ours, theirs in zip(wanted["containerDefinitions"], made["containerDefinitions"],
                                strict=True):
            self.assertEqual(ours["name"], theirs["name"])
            for field in ("image", "essential", "dependsOn", "healthCheck", "user", "stopTimeout",
                          "environment", "ulimits"):
                self.assertEqual(theirs.get(field) or None, ours.get(field), field)
        service, = self.aws("ecs", "describe-services", "--cluster", "shop", "--services",
                            outputs["ServiceName"])["services"]
        self.assertEqual((service["status"], service["taskDefinition"]),
                         ("ACTIVE", outputs["TaskDefinitionArn"]))
        self.the_api_takes_what_moto_s_cloudformation_passes_over(resources, wanted, known)

    def the_api_takes_what_moto_s_cloudformation_passes_over(self, resources, task, known):
        made = self.aws("ecs", "register-task-definition", "--cli-input-json",
                        json.dumps(task))["taskDefinition"]
        for field in ("networkMode", "cpu", "memory", "runtimePlatform", "taskRoleArn",
                      "executionRoleArn", "volumes", "requiresCompatibilities"):
            self.assertEqual(made[field], task[field], field)
        given = camel(resolve(resources["Service"]["Properties"], known))
        given["serviceName"] = "shop-by-cli"
        self.aws("ecs", "create-service", "--cli-input-json", json.dumps(given))
        service, = self.aws("ecs", "describe-services", "--cluster", "shop", "--services",
                            "shop-by-cli")["services"]
        self.assertEqual(service["launchType"], "FARGATE")
        # moto keeps no enableExecuteCommand: that the API takes it is all that can be seen.
        self.assertIs(given["enableExecuteCommand"], True)
        target = resolve(resources["ScalableTarget"]["Properties"], known)
        self.aws("application-autoscaling", "register-scalable-target", "--cli-input-json",
                 json.dumps(target))
        policy = resolve(resources["ScalingPolicy"]["Properties"], known)
        self.assertEqual(resources["ScalingPolicy"]["Properties"]["ScalingTargetId"],
                         {"!Ref": "ScalableTarget"})
        del policy["ScalingTargetId"]
        policy |= {k: target[k] for k in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
        self.aws("application-autoscaling", "put-scaling-policy", "--cli-input-json",
                 json.dumps(policy))
        kept, = self.aws("application-autoscaling", "describe-scaling-policies",
                         "--service-namespace", "ecs")["ScalingPolicies"]
        self.assertEqual(kept["ResourceId"], "service/shop/shop")
        self.assertEqual(kept["TargetTrackingScalingPolicyConfiguration"], {
            "TargetValue": 60.0, "ScaleOutCooldown": 60, "ScaleInCooldown": 300,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ECSServiceAverageCPUUtilization"}})
        kept, = self.aws("application-autoscaling", "describe-scalable-targets",
                         "--service-namespace", "ecs")["ScalableTargets"]
        self.assertEqual((kept["MinCapacity"], kept["MaxCapacity"]), (2, 10))


class TaskDefinitions(unittest.TestCase):
    def sidecars(self):
        for name in TASKS:
            yield name, task_definition(name)
        stack = template("docker", "ecs", "service.yaml")
        known = dict.fromkeys(("ApplicationImage", "SidecarImage", "LogGroup", "AWS::Region", "Cpu",
                               "AWS::StackName", "Memory", "CpuArchitecture", "OnTargetChange",
                               "ExecutionRole.Arn", "TaskRole.Arn", "Forwards"), "x")
        yield "stack", camel(resolve(stack["Resources"]["TaskDefinition"]["Properties"], known))

    def test_every_sidecar_is_set_up_alike_and_safely(self):
        fields = ("cpu", "memory", "memoryReservation", "user", "readonlyRootFilesystem",
                  "linuxParameters", "ulimits", "healthCheck", "stopTimeout", "mountPoints")
        seen = []
        for name, task in self.sidecars():
            with self.subTest(name):
                side = next(x for x in task["containerDefinitions"] if x["name"] == "sidecar")
                seen.append({x: side[x] for x in fields})
                self.assertEqual(seen[0], seen[-1])
                self.assertEqual(side["user"], "1000:1000")
                self.assertEqual(side["linuxParameters"], {
                    "initProcessEnabled": True, "capabilities": {"drop": ["ALL"]}})
                self.assertEqual(side["healthCheck"]["command"],
                                 ["CMD", "/usr/local/bin/sidecar", "health"])
                self.assertEqual(side["logConfiguration"]["logDriver"], "awslogs")
                volumes = {x["name"] for x in task["volumes"]}
                self.assertEqual({x["containerPath"] for x in side["mountPoints"]}, {
                    "/managed-agents", "/var/lib/amazon/ssm", "/var/log/amazon/ssm"})
                self.assertEqual({x["sourceVolume"] for x in side["mountPoints"]}, volumes)
                settings = {x["name"]: x["value"] for x in side["environment"]}
                if "FORWARDS" in settings:
                    self.assertFalse({"TARGET_HOST", "TARGET_PORT", "LISTEN_PORT"} & set(settings))
                drain = seconds(settings.get("DRAIN_DELAY", "0s")) + seconds(
                    settings.get("DRAIN_TIMEOUT", "25s"))
                self.assertGreaterEqual(side["stopTimeout"], drain + 2)
                self.assertLessEqual(side["stopTimeout"], 120)
                self.assertLess(side["healthCheck"]["timeout"], side["healthCheck"]["interval"])

    def test_every_application_waits_for_a_healthy_sidecar(self):
        for name, task in self.sidecars():
            names = [x["name"] for x in task["containerDefinitions"]]
            if name == "debug":
                self.assertEqual(names, ["sidecar"])
                continue
            application = task["containerDefinitions"][names.index("application")]
            self.assertEqual(application["dependsOn"],
                             [{"containerName": "sidecar", "condition": "HEALTHY"}])

    def test_every_placeholder_is_replaced_by_the_documented_command(self):
        told = text_of("docker", "README.md")
        for name in TASKS:
            for word in set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)*\b", text_of("docker", "ecs",
                                                                          f"{name}.json"))):
                if word in PLACEHOLDERS:
                    self.assertIn(f"s#{word}#", told, word)

