"""Drives an SQS endpoint with boto3, as an application would. Usage: boto3_client.py ENDPOINT"""

import sys
import time
import unittest

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = sys.argv.pop()
sqs = boto3.client(
    "sqs",
    endpoint_url=ENDPOINT,
    region_name="eu-central-1",
    aws_access_key_id="any",
    aws_secret_access_key="any",
    config=Config(retries={"total_max_attempts": 1}),
)


def create(name, **attributes):
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def receive(url, **more):
    return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, **more).get("Messages", [])


def error_code(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    raise AssertionError("the call succeeded")


class Boto3(unittest.TestCase):
    def test_a_message_makes_its_way(self):
        url = create("boto3-way")
        self.assertEqual(url, f"{ENDPOINT}/000000000000/boto3-way")
        # boto3 checks the MD5 of what it sends and receives.
        attributes = {
            "text": {"DataType": "String", "StringValue": "grüß"},
            "number": {"DataType": "Number.int", "StringValue": "42"},
            "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        }
        trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5e3d83c1-e6a0db584850d61342823d4c"}}
        body = "snow ☃ \U0001f600 \"quoted\" \\ \t\n"
        sent = sqs.send_message(
            QueueUrl=url, MessageBody=body, MessageAttributes=attributes, MessageSystemAttributes=trace
        )
        [message] = receive(url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])
        self.assertEqual(message["Body"], body)
        self.assertEqual(message["MessageId"], sent["MessageId"])
        self.assertEqual(message["MessageAttributes"], attributes)
        self.assertEqual(message["MD5OfMessageAttributes"], sent["MD5OfMessageAttributes"])
        self.assertEqual(message["Attributes"]["ApproximateReceiveCount"], "1")
        self.assertEqual(message["Attributes"]["AWSTraceHeader"], trace["AWSTraceHeader"]["StringValue"])
        self.assertLess(abs(int(message["Attributes"]["SentTimestamp"]) - time.time() * 1000), 60_000)
        handle = message["ReceiptHandle"]
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
        [message] = receive(url, MessageAttributeNames=["te.*"], AttributeNames=["ApproximateReceiveCount"])
        self.assertEqual(list(message["MessageAttributes"]), ["text"])
        self.assertEqual(message["Attributes"], {"ApproximateReceiveCount": "2"})
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        self.assertEqual(receive(url), [])

    def test_batches_fail_in_part(self):
        url = create("boto3-batch")
        entries = [{"Id": "good", "MessageBody": "b"}, {"Id": "bad", "MessageBody": "nul \x00"}]
        sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)
        self.assertEqual([entry["Id"] for entry in sent["Successful"]], ["good"])
        self.assertEqual([(e["Id"], e["Code"], e["SenderFault"]) for e in sent["Failed"]], [("bad", "InvalidMessageContents", True)])
        [message] = receive(url)
        entries = [{"Id": "1", "ReceiptHandle": message["ReceiptHandle"]}, {"Id": "2", "ReceiptHandle": "garbage"}]
        hidden = sqs.change_message_visibility_batch(QueueUrl=url, Entries=[dict(e, VisibilityTimeout=60) for e in entries])
        deleted = sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        for answer in (hidden, deleted):
            self.assertEqual([entry["Id"] for entry in answer["Successful"]], ["1"])
            self.assertEqual([(e["Id"], e["Code"]) for e in answer["Failed"]], [("2", "ReceiptHandleIsInvalid")])

    def test_errors_are_the_ones_that_boto3_knows(self):
        url = create("boto3-errors", VisibilityTimeout="7")
        for exception, call, arguments in [
            (sqs.exceptions.QueueDoesNotExist, sqs.get_queue_url, {"QueueName": "nowhere"}),
            (sqs.exceptions.QueueNameExists, sqs.create_queue, {"QueueName": "boto3-errors", "Attributes": {"VisibilityTimeout": "8"}}),
            (sqs.exceptions.ReceiptHandleIsInvalid, sqs.delete_message, {"QueueUrl": url, "ReceiptHandle": "x"}),
            (sqs.exceptions.EmptyBatchRequest, sqs.delete_message_batch, {"QueueUrl": url, "Entries": []}),
            (sqs.exceptions.InvalidAttributeName, sqs.get_queue_attributes, {"QueueUrl": url, "AttributeNames": ["X"]}),
            (sqs.exceptions.ResourceNotFoundException, sqs.start_message_move_task, {"SourceArn": "arn:aws:sqs:a:0:none"}),
        ]:
            with self.subTest(exception.__name__), self.assertRaises(exception):
                call(**arguments)
        self.assertEqual(error_code(sqs.delete_queue, QueueUrl=url + "x"), "AWS.SimpleQueueService.NonExistentQueue")
        self.assertEqual(error_code(sqs.receive_message, QueueUrl=url, MaxNumberOfMessages=11), "InvalidParameterValue")
        self.assertEqual(error_code(sqs.send_message, QueueUrl=url, MessageBody=""), "MissingParameter")

    def test_fifo_queues_keep_order_and_drop_twins(self):
        url = create("boto3.fifo", FifoQueue="true", ContentBasedDeduplication="true")
        numbers = []
        for body in ["1", "2", "2", "3"]:
            sent = sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="g")
            numbers.append(sent["SequenceNumber"])
        self.assertEqual(numbers[1], numbers[2])
        self.assertLess(numbers[2], numbers[3])
        messages = receive(url, MessageSystemAttributeNames=["MessageGroupId", "SequenceNumber"])
        self.assertEqual([message["Body"] for message in messages], ["1", "2", "3"])
        self.assertEqual(messages[0]["Attributes"], {"MessageGroupId": "g", "SequenceNumber": numbers[0]})

    def test_queues_are_listed_tagged_and_purged(self):
        urls = [create(f"boto3-list-{index}") for index in range(5)]
        pages = sqs.get_paginator("list_queues").paginate(
            QueueNamePrefix="boto3-list-", PaginationConfig={"PageSize": 2}
        )
        self.assertEqual([url for page in pages for url in page["QueueUrls"]], urls)
        sqs.tag_queue(QueueUrl=urls[0], Tags={"a": "1", "b": "2"})
        sqs.untag_queue(QueueUrl=urls[0], TagKeys=["a"])
        self.assertEqual(sqs.list_queue_tags(QueueUrl=urls[0])["Tags"], {"b": "2"})
        sqs.add_permission(QueueUrl=urls[0], Label="l", AWSAccountIds=["111111111111"], Actions=["*"])
        sqs.remove_permission(QueueUrl=urls[0], Label="l")
        sqs.send_message(QueueUrl=urls[0], MessageBody="b", DelaySeconds=900)
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"]
        count = lambda: sqs.get_queue_attributes(QueueUrl=urls[0], AttributeNames=counts)["Attributes"]
        self.assertEqual(list(count().values()), ["0", "1"])
        sqs.purge_queue(QueueUrl=urls[0])
        self.assertEqual(list(count().values()), ["0", "0"])

    def test_dead_letters_go_and_come_back(self):
        dead = create("boto3-dead")
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.assertEqual(arn, "arn:aws:sqs:eu-central-1:000000000000:boto3-dead")
        source = create("boto3-source", RedrivePolicy=f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"1"}}')
        self.assertEqual(sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"], [source])
        sent = sqs.send_message(QueueUrl=source, MessageBody="b")
        self.assertEqual(len(receive(source, VisibilityTimeout=0)), 1)
        self.assertEqual(receive(source), [])
        [message] = receive(dead, AttributeNames=["All"], VisibilityTimeout=0)
        self.assertEqual(message["MessageId"], sent["MessageId"])
        self.assertEqual(message["Attributes"]["DeadLetterQueueSourceArn"], arn.replace("-dead", "-source"))
        sqs.start_message_move_task(SourceArn=arn)
        [message] = receive(source, WaitTimeSeconds=20)
        self.assertEqual(message["Body"], "b")
        [task] = sqs.list_message_move_tasks(SourceArn=arn)["Results"]
        self.assertIn(task["Status"], ["RUNNING", "COMPLETED"])


unittest.main(argv=sys.argv[:1])
