"""`wasq-bench`'s contestant in Python on RabbitMQ (pika), Redis (redis-py) and Kafka (confluent-kafka), in threads.

Each parses and logs a message and acknowledges it; on Kafka it stores the offset, which its client
commits every 100 ms. The one argument is JSON (`Consumer` in bench/src/protocol.rs). Says "begin"
when it is warm, waits for "go", and ends with one line of JSON (`Measured` there). Logs a line a
message to stderr.
"""

import json
import logging
import os
import resource
import sys
import threading
import time

settings = json.loads(sys.argv[1])
logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
log = logging.getLogger("guest")
log.setLevel(logging.INFO)


def handle(body, message_id):
    order = json.loads(body)
    if order.get("sleep_ms", 0) > 0:
        time.sleep(order["sleep_ms"] / 1000)
    total = sum(item["quantity"] * item["cents"] for item in order["items"])
    log.info("order %s %s %s", order["order_id"], total, message_id)


class Load:
    """Empties a queue of so many messages."""

    def __init__(self, load):
        self.queue, self.wanted = load["queue_url"], load["messages"]
        self.handled, self.lock, self.ended = 0, threading.Lock(), threading.Event()

    def run(self):
        poll = {"rabbitmq": self.rabbitmq, "redis": self.redis, "kafka": self.kafka}[settings["broker"]]
        pollers = [threading.Thread(target=self.guard, args=(poll, n), daemon=True) for n in range(settings["pollers"])]
        for poller in pollers:
            poller.start()
        self.ended.wait()
        for poller in pollers:
            poller.join()

    def guard(self, poll, number):
        try:
            poll(number)
        except Exception:
            logging.exception("a thread failed")
            os._exit(1)

    def done(self):
        with self.lock:
            self.handled += 1
            if self.handled >= self.wanted:
                self.ended.set()

    def rabbitmq(self, _):
        import pika

        connection = pika.BlockingConnection(pika.URLParameters(settings["endpoint"]))
        channel = connection.channel()
        channel.basic_qos(prefetch_count=max(1, settings["concurrency"] // settings["pollers"]))
        for method, properties, body in channel.consume(self.queue, inactivity_timeout=0.1):
            if method is not None:
                handle(body, properties.message_id)
                channel.basic_ack(method.delivery_tag)
                self.done()
            if self.ended.is_set():
                break
        connection.close()

    def redis(self, number):
        import redis

        client = redis.Redis.from_url(settings["endpoint"])
        while not self.ended.is_set():
            answer = client.xreadgroup("wasq", f"python-{number}", {self.queue: ">"}, count=10, block=100)
            for _, entries in answer or []:
                for entry, fields in entries:
                    handle(fields[b"body"], entry)
                    pipeline = client.pipeline(transaction=False)
                    pipeline.xack(self.queue, "wasq", entry)
                    pipeline.xdel(self.queue, entry)
                    pipeline.execute()
                    self.done()

    def kafka(self, _):
        import confluent_kafka

        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": settings["endpoint"].removeprefix("kafka://"),
                "group.id": self.queue,
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "cooperative-sticky",
                "enable.auto.offset.store": False,
                "auto.commit.interval.ms": 100,
            }
        )
        consumer.subscribe([self.queue])
        while not self.ended.is_set():
            for message in consumer.consume(100, timeout=0.1):
                if message.error():
                    raise RuntimeError(message.error())
                handle(message.value(), message.offset())
                consumer.store_offsets(message)
                self.done()
        consumer.close()


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
    }
)
os._exit(0)
