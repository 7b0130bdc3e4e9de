"""`wasq-bench`'s contestant in Python: boto3, in threads. Each receives ten, parses and logs, and deletes them in one call.

The one argument is JSON (`Consumer` in bench/src/protocol.rs). Says "begin" when it is warm, waits
for "go", and ends with one line of JSON (`Outcome` there). Logs a line a message to stderr.
"""

import json
import logging
import os
import resource
import sys
import threading
import time
import urllib.parse

import boto3
from botocore.config import Config

settings = json.loads(sys.argv[1])
loopback = urllib.parse.urlparse(settings["endpoint"]).hostname in ("127.0.0.1", "localhost", "::1")
local = dict(region_name="us-east-1", aws_access_key_id="local", aws_secret_access_key="local") if loopback else {}
# One for all threads, with a connection for each, as its guide says.
sqs = boto3.client(
    "sqs", endpoint_url=settings["endpoint"], config=Config(max_pool_connections=settings["pollers"]), **local
)
logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
log = logging.getLogger("guest")
log.setLevel(logging.INFO)


def handle(message):
    order = json.loads(message["Body"])
    if order.get("sleep_ms", 0) > 0:
        time.sleep(order["sleep_ms"] / 1000)
    total = sum(item["quantity"] * item["cents"] for item in order["items"])
    log.info("order %s %s %s", order["order_id"], total, message["MessageId"])


class Load:
    """Empties a queue of so many messages."""

    def __init__(self, load):
        self.url, self.wanted = load["queue_url"], load["messages"]
        self.handled, self.calls = 0, {"ReceiveMessage": 0, "DeleteMessageBatch": 0}
        self.lock, self.ended = threading.Lock(), threading.Event()

    def run(self):
        threads = [threading.Thread(target=self.poll, daemon=True) for _ in range(settings["pollers"])]
        for thread in threads:
            thread.start()
        self.ended.wait()

    def poll(self):
        try:
            while not self.ended.is_set():
                self.receive()
        except Exception:
            logging.exception("a thread failed")
            os._exit(1)

    def receive(self):
        answer = sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=1, VisibilityTimeout=60)
        messages, deleted = answer.get("Messages", []), 0
        for message in messages:
            handle(message)
        if messages:
            entries = [
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]} for place, message in enumerate(messages)
            ]
            answer = sqs.delete_message_batch(QueueUrl=self.url, Entries=entries)
            if answer.get("Failed"):
                raise RuntimeError(f"deletes failed: {answer['Failed']}")
            deleted = len(answer["Successful"])
        with self.lock:
            self.calls["ReceiveMessage"] += 1
            self.calls["DeleteMessageBatch"] += bool(messages)
            self.handled += deleted
            if self.handled >= self.wanted:
                self.ended.set()


def say(what):
    print(json.dumps(what), flush=True)


if settings["warm_up"]["messages"] > 0:
    Load(settings["warm_up"]).run()
say("begin")
word = sys.stdin.readline().strip()
assert word == "go", f"the bench did not say go, but {word!r}"

load = Load(settings["load"])
began, cpu = time.monotonic(), time.process_time()
load.run()
elapsed_s, cpu = time.monotonic() - began, time.process_time() - cpu
say(
    {
        "handled": load.handled,
        "elapsed_s": elapsed_s,
        "cpu_us": cpu * 1e6,
        "rss_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "calls": load.calls,
    }
)
# The other threads may still wait for a receive.
os._exit(0)
