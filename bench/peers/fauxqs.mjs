// fauxqs, for `wasq-bench --queues`: says where it listens, and ends with its standard input.
import { startFauxqs } from "fauxqs";

const server = await startFauxqs({ port: 0, logger: false });
console.log(JSON.stringify(`http://127.0.0.1:${server.port}`));
process.stdin.on("end", () => process.exit(0)).resume();
