// Drives an SQS endpoint with the AWS SDK for JavaScript and with sqs-consumer. Usage: js_client.mjs ENDPOINT
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import * as aws from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const sqs = new aws.SQSClient({
  endpoint: process.argv.at(-1),
  region: "us-east-1",
  credentials: { accessKeyId: "any", secretAccessKey: "any" },
  maxAttempts: 1,
});

async function create(name, Attributes) {
  const { QueueUrl } = await sqs.send(new aws.CreateQueueCommand({ QueueName: name, Attributes }));
  return QueueUrl;
}

test("a message makes its way", async () => {
  const QueueUrl = await create("js-way");
  const MessageAttributes = {
    text: { DataType: "String", StringValue: "grüß" },
    bytes: { DataType: "Binary", BinaryValue: Uint8Array.of(0, 255) },
  };
  const sent = await sqs.send(new aws.SendMessageCommand({ QueueUrl, MessageBody: "☃", MessageAttributes }));
  const { Messages } = await sqs.send(new aws.ReceiveMessageCommand({ QueueUrl, MessageAttributeNames: ["All"] }));
  assert.equal(Messages[0].Body, "☃");
  assert.equal(Messages[0].MessageId, sent.MessageId);
  assert.deepEqual({ ...Messages[0].MessageAttributes.bytes.BinaryValue }, { 0: 0, 1: 255 });
  assert.equal(Messages[0].MD5OfMessageAttributes, sent.MD5OfMessageAttributes);
  await sqs.send(new aws.DeleteMessageCommand({ QueueUrl, ReceiptHandle: Messages[0].ReceiptHandle }));
  const empty = await sqs.send(new aws.ReceiveMessageCommand({ QueueUrl }));
  assert.equal(empty.Messages, undefined);
});

test("errors are the ones that the SDK knows", async () => {
  const QueueUrl = await create("js-errors");
  await assert.rejects(sqs.send(new aws.GetQueueUrlCommand({ QueueName: "nowhere" })), aws.QueueDoesNotExist);
  await assert.rejects(
    sqs.send(new aws.DeleteMessageCommand({ QueueUrl, ReceiptHandle: "garbage" })),
    aws.ReceiptHandleIsInvalid,
  );
  await assert.rejects(
    sqs.send(new aws.SendMessageBatchCommand({ QueueUrl, Entries: [] })),
    aws.EmptyBatchRequest,
  );
});

test("sqs-consumer consumes", async () => {
  const queueUrl = await create("js-consumer");
  const bodies = Array.from({ length: 25 }, (_, index) => `message ${index}`);
  for (let start = 0; start < bodies.length; start += 10) {
    const Entries = bodies.slice(start, start + 10).map((MessageBody, index) => ({ Id: `${index}`, MessageBody }));
    await sqs.send(new aws.SendMessageBatchCommand({ QueueUrl: queueUrl, Entries }));
  }
  const seen = new Set();
  const consumer = Consumer.create({
    queueUrl,
    sqs,
    batchSize: 10,
    waitTimeSeconds: 1,
    handleMessageBatch: async (messages) => {
      for (const message of messages) seen.add(message.Body);
      return messages;
    },
  });
  const emptied = once(consumer, "empty");
  consumer.start();
  await emptied;
  const stopped = once(consumer, "stopped");
  consumer.stop();
  await stopped;
  assert.deepEqual([...seen].sort(), bodies.sort());
  const { Attributes } = await sqs.send(
    new aws.GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ["ApproximateNumberOfMessagesNotVisible"] }),
  );
  assert.equal(Attributes.ApproximateNumberOfMessagesNotVisible, "0");
});
