"""Objects in moto's S3 at an endpoint, whatever is checked there.

put UNCHECKED BUCKET FILE KEY...: puts a file under each key, has moto check all calls after so many, and prints the event that S3
    would send, as JSON.
list BUCKET PREFIX: prints the objects under a prefix, as JSON: by key, in base64, with their media types."""

import base64
import json
import pathlib
import sys
import urllib.parse
import urllib.request

import boto3

endpoint, command, *arguments = sys.argv[1:]
s3 = boto3.client(
    "s3", endpoint_url=endpoint, region_name="eu-central-1", aws_access_key_id="setup", aws_secret_access_key="setup"
)


def check_after(calls):
    text = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset-auth", calls.encode(), text))


def record(bucket, key, etag):
    item = {"key": urllib.parse.quote_plus(key, safe="/"), "eTag": etag.strip('"'), "sequencer": "0055AED6DCD90281E5"}
    s3 = {"s3SchemaVersion": "1.0", "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": item}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2026-11-28T13:50:47.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": s3,
    }


check_after("inf")
if command == "put":
    unchecked, bucket, file, *keys = arguments
    body = pathlib.Path(file).read_bytes()
    records = [record(bucket, key, s3.put_object(Bucket=bucket, Key=key, Body=body)["ETag"]) for key in keys]
    check_after(unchecked)
    print(json.dumps({"Records": records}))
else:
    bucket, prefix = arguments
    found = {}
    for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
        got = s3.get_object(Bucket=bucket, Key=item["Key"])
        found[item["Key"]] = {"type": got["ContentType"], "body": base64.b64encode(got["Body"].read()).decode()}
    print(json.dumps(found))
