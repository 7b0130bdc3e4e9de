#!/usr/bin/env node
// Runs the binary of the package that is for this machine. npm installs that one beside this, as an
// optional dependency.
"use strict";

const { spawn } = require("node:child_process");

// The packages by processor.
const packages = {packages};

const name = process.platform === "linux" ? packages[process.arch] : undefined;
if (name === undefined) {
  const known = Object.keys(packages).join(", ");
  fail(`there is no binary for ${process.platform} on ${process.arch}, only for Linux on ${known}; its image may run there`);
}
let binary;
try {
  binary = require.resolve(`${name}/bin/wasq`);
} catch {
  fail(`${name} is not installed; install wasq again, without --omit=optional or --no-optional`);
}

const child = spawn(binary, process.argv.slice(2), { stdio: "inherit" });
child.on("error", (error) => fail(`cannot run ${binary}: ${error.message}; it needs Linux with glibc`));

// A terminal sends Ctrl-C to both processes. A second one would end the host's drain.
const hasTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
const signals = ["SIGTERM", "SIGINT", "SIGHUP"];
for (const signal of signals) {
  process.on(signal, () => {
    if (signal === "SIGTERM" || !hasTerminal) {
      child.kill(signal);
    }
  });
}
child.on("exit", (code, signal) => {
  if (signal === null) {
    process.exit(code);
  }
  signals.forEach((name) => process.removeAllListeners(name));
  process.kill(process.pid, signal);
});

function fail(reason) {
  console.error(`wasq: ${reason}`);
  process.exit(1);
}
