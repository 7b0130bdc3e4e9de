"""Produces to a topic of Kafka, or consumes from it, as programs do that are not ours.

kafka_client.py BROKERS produce TOPIC
kafka_client.py BROKERS consume TOPIC COUNT
"""

import json
import sys

from confluent_kafka import Consumer, KafkaException, Producer


def murmur2(data: bytes) -> int:
    """The hash by which Kafka's own clients choose a key's partition (its Utils.murmur2)."""
    mask, m, r = 0xFFFFFFFF, 0x5BD1E995, 24
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ (k >> r)) * m & mask
        h = (h * m & mask) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def deliver(error, _message):
    if error:
        raise KafkaException(error)


def produce(brokers, topic):
    plain = Producer({"bootstrap.servers": brokers, "acks": "all"})
    headers = [("type", b"greeting"), ("twice", b"1"), ("twice", b"2"), ("bytes", b"\xff\x00")]
    plain.produce(topic, b"plain", b"k1", timestamp=1_700_000_000_000, headers=headers, on_delivery=deliver)
    plain.produce(topic, None, b"k2", on_delivery=deliver)
    assert plain.flush(30) == 0
    compressed = Producer({"bootstrap.servers": brokers, "compression.type": "zstd"})
    compressed.produce(topic, b"compressed", on_delivery=deliver)
    assert compressed.flush(30) == 0
    plain.produce(topic, b"odd", b"\xff\xfe", on_delivery=deliver)
    assert plain.flush(30) == 0


def consume(brokers, topic, count):
    settings = {"bootstrap.servers": brokers, "group.id": "another-program", "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    partitions = len(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    for message in consumer.consume(count, timeout=30):
        if message.error():
            raise KafkaException(message.error())
        key = message.key()
        print(
            json.dumps(
                {
                    "key": key.decode(),
                    "partition": message.partition(),
                    "murmur2": (murmur2(key) & 0x7FFFFFFF) % partitions,
                    "headers": {name: value.decode() for name, value in message.headers() or []},
                }
            )
        )
    consumer.close()


if __name__ == "__main__":
    command, topic = sys.argv[2:4]
    if command == "produce":
        produce(sys.argv[1], topic)
    else:
        consume(sys.argv[1], topic, int(sys.argv[4]))
