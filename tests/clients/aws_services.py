"""Makes what a handler calls in moto at an endpoint: a bucket, a queue, a topic, a table, a state machine, a sender, a bus, and two
roles: one that may use them, and one that may not. Then turns on moto's checks of signatures and rights, after as many calls as
the second argument says. Prints what the test needs to know, as JSON."""

import json
import sys
import urllib.request

import boto3

endpoint, unchecked_calls = sys.argv[1], sys.argv[2]
region = "eu-central-1"


def client(service):
    return boto3.client(
        service, endpoint_url=endpoint, region_name=region, aws_access_key_id="setup", aws_secret_access_key="setup"
    )


client("s3").create_bucket(Bucket="acme", CreateBucketConfiguration={"LocationConstraint": region})
queue = client("sqs").create_queue(QueueName="orders")["QueueUrl"]
topic = client("sns").create_topic(Name="news")["TopicArn"]
client("dynamodb").create_table(
    TableName="orders",
    AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    BillingMode="PAY_PER_REQUEST",
)
client("ses").verify_email_identity(EmailAddress="shop@example.com")
client("events").create_event_bus(Name="shop")

iam = client("iam")
trust = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}}
roles = {}
for name, allowed in [("handler", ["s3:*", "sqs:*", "sns:*", "dynamodb:*", "states:*", "ses:*", "events:*"]), ("other", ["iam:ListUsers"])]:
    roles[name] = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": allowed, "Resource": "*"}}
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(policy))

text = {"Content-Type": "text/plain"}
urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset-auth", unchecked_calls.encode(), text))
print(json.dumps({"queue": queue, "topic": topic, "roles": roles}))
