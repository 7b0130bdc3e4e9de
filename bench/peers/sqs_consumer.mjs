// `wasq-bench`'s contestants on Node: sqs-consumer in its batch mode, and one message after the
// other.
//
// The one argument is JSON (`Consumer` in bench/src/protocol.rs). Says "begin" when it is warm,
// waits for "go", and ends with one line of JSON (`Outcome` there). Logs a line a message to
// stderr.
import { once } from "node:events";
import { createInterface } from "node:readline";

import { SQSClient } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const settings = JSON.parse(process.argv[2]);
const batch = settings.contestant === "sqs-consumer";
const loopback = ["127.0.0.1", "localhost", "[::1]"].includes(new URL(settings.endpoint).hostname);

const calls = {};
const sqs = new SQSClient({
  endpoint: settings.endpoint,
  ...(loopback ? { region: "us-east-1", credentials: { accessKeyId: "local", secretAccessKey: "local" } } : {}),
});
sqs.middlewareStack.add(
  (next, context) => (args) => {
    const operation = context.commandName.replace(/Command$/, "");
    calls[operation] = (calls[operation] ?? 0) + 1;
    return next(args);
  },
  { step: "initialize" },
);

async function handle(message) {
  const order = JSON.parse(message.Body);
  if (order.sleep_ms > 0) await new Promise((done) => setTimeout(done, order.sleep_ms));
  const total = order.items.reduce((sum, item) => sum + item.quantity * item.cents, 0);
  process.stderr.write(`${new Date().toISOString()} INFO order ${order.order_id} ${total} ${message.MessageId}\n`);
}

// Empties a queue of so many messages with as many consumers as there should be pollers.
async function empty({ queue_url: queueUrl, messages: wanted }) {
  let handled = 0;
  const consumers = [];
  const done = new Promise((resolve, reject) => {
    for (let n = 0; n < settings.pollers; n++) {
      const consumer = Consumer.create({
        queueUrl,
        sqs,
        batchSize: 10,
        waitTimeSeconds: 1,
        visibilityTimeout: 60,
        ...(batch
          ? {
              handleMessageBatch: async (messages) => {
                await Promise.all(messages.map(handle));
                return messages;
              },
            }
          : {
              handleMessage: async (message) => {
                await handle(message);
                return message;
              },
            }),
      });
      // Told of each message when it is deleted, in both modes.
      consumer.on("message_processed", () => {
        handled += 1;
        if (handled >= wanted) resolve();
      });
      for (const event of ["error", "processing_error", "timeout_error"]) consumer.on(event, reject);
      consumers.push(consumer);
      consumer.start();
    }
    if (wanted === 0) resolve();
  });
  await done;
  return { handled, stop: () => Promise.all(consumers.map((consumer) => stop(consumer))) };
}

async function stop(consumer) {
  const stopped = once(consumer, "stopped");
  consumer.stop({ abort: true });
  await stopped;
}

const warm = await empty(settings.warm_up);
await warm.stop();
console.log(JSON.stringify("begin"));
const lines = createInterface({ input: process.stdin });
const [word] = await once(lines, "line");
if (word !== "go") throw new Error(`the bench did not say go, but ${word}`);

for (const operation of Object.keys(calls)) delete calls[operation];
const began = { time: process.hrtime.bigint(), cpu: process.cpuUsage() };
const { handled, stop: end } = await empty(settings.load);
const elapsed_s = Number(process.hrtime.bigint() - began.time) / 1e9;
const cpu = process.cpuUsage(began.cpu);
const counted = { ...calls };
await end();
console.log(
  JSON.stringify({
    handled,
    elapsed_s,
    cpu_us: cpu.user + cpu.system,
    rss_peak_bytes: process.resourceUsage().maxRSS * 1024,
    calls: counted,
  }),
);
lines.close();
process.exit(0);
