"""Sends or receives one message by the SQS Extended Client Library for Python, with its body in S3.

Arguments: ENDPOINT BUCKET QUEUE, then `send BODY` (the body from a file) or `receive`, which deletes the message and prints its
body's SHA-256 and type as JSON."""

import hashlib
import json
import sys

import boto3
import sqs_extended_client  # noqa: F401  (it changes boto3's clients when it is imported)

endpoint, bucket, queue, command = sys.argv[1:5]
keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1", "endpoint_url": endpoint}
s3 = boto3.client("s3", **keys)
sqs = boto3.client("sqs", **keys)
sqs.large_payload_support = bucket
sqs.s3_client = s3
sqs.delete_payload_from_s3 = True
url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]

if command == "send":
    s3.create_bucket(Bucket=bucket)
    with open(sys.argv[5], encoding="utf-8") as file:
        body = file.read()
    sqs.send_message(
        QueueUrl=url, MessageBody=body, MessageAttributes={"type": {"DataType": "String", "StringValue": "probe"}}
    )
else:
    answer = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], WaitTimeSeconds=20)
    (message,) = answer["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    digest = hashlib.sha256(message["Body"].encode()).hexdigest()
    print(json.dumps({"sha256": digest, "type": message["MessageAttributes"]["type"]["StringValue"]}))

left = s3.list_objects_v2(Bucket=bucket).get("KeyCount")
print(f"objects: {left}", file=sys.stderr)
