#!/usr/bin/env python3
"""How the cost of a message grows: runs `wasq-bench` over one setting at a time, and keeps what it found in a JSON file.

    bench/curves/measure.py --wasq target/dist/wasq                  # every curve
    bench/curves/measure.py --wasq target/dist/wasq --only body      # one of them; the others are kept
    bench/curves/plot.py --page docs/internals/performance-curves.md              # the plots, and the tables in the page

Python's own library is enough."""

import argparse
import contextlib
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOUND = ROOT / "docs" / "plots" / "curves.json"
# Messages a second that the runs with sleeping handlers have, whatever is in flight: well under what a host can do.
IN_FLIGHT_PER_S = 1_000


def in_flight(count):
    """So many handlers that sleep at once, at the same pace for every number: what is in flight is pace times sleep."""
    sleep_ms = max(1, count * 1_000 // IN_FLIGHT_PER_S)
    return ["--concurrency", count, "--handler-sleep", sleep_ms], min(20_000, max(3_000, 2 * count))


# Of each curve: what is changed, its values, and the bench's arguments and number of messages for a value.
CURVES = {
    "concurrency": ([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
                    lambda n: (["--concurrency", n], 1_000 if n < 8 else 10_000)),
    "body": ([100, 1_000, 4_000, 16_000, 64_000, 256_000],
             lambda n: (["--bytes", n], 10_000 if n < 10_000 else 4_000 if n < 50_000 else 1_000)),
    "plugins": ([1, 2, 5, 10, 20, 50, 100, 200, 500], lambda n: (["--plugins", n], 10_000)),
    "in-flight": ([1, 10, 100, 1_000, 3_000, 10_000], in_flight),
    "duplicates": ([0, 25, 50, 75, 100], lambda n: (["--duplicates", n], 10_000)),
    "cores": ([1, 2], lambda n: (["--cores", n], 20_000)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wasq", default=ROOT / "target/dist/wasq", type=pathlib.Path, help="the host's binary, an optimised one, with wasq-bench beside it")
    parser.add_argument("--only", help="curves, with commas: " + ", ".join([*CURVES, "idle"]))
    parser.add_argument("--out", default=FOUND, type=pathlib.Path, help="the JSON file; what else is in it is kept")
    parser.add_argument("--scale", default=1.0, type=float, help="of the numbers of messages and plugins; a test has less time")
    parser.add_argument("--points", type=int, help="so many values of each curve, the first and the last among them")
    parser.add_argument("--values", help="only these of a curve, with commas; its others are kept")
    parser.add_argument("--rounds", default=1, type=int, help="of each value; the median counts")
    parser.add_argument("--pollers", default=8, type=int)
    parser.add_argument("--idle-s", default=40, type=int, help="how long the idle host is watched")
    parser.add_argument("--under", default="", help="a command that each run is started under, such as one that waits for a quiet machine")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else [*CURVES, "idle"]
    for name in names:
        if name != "idle" and name not in CURVES:
            parser.error(f"there is no curve `{name}`; there are {', '.join([*CURVES, 'idle'])}")
    for binary in (options.wasq, bench_of(options.wasq)):
        if not binary.is_file():
            parser.error(f"{binary} is not there; build it with cargo build --profile dist --bins, or give --wasq FILE")
    options.wasq = options.wasq.resolve()
    with tempfile.TemporaryDirectory(prefix="wasq-curves-") as scratch:
        scratch = pathlib.Path(scratch)
        handler = build_handler(options.wasq, scratch)
        for name in names:
            if name == "idle":
                keep(options.out, name, idle(options, handler, scratch))
            else:
                curve(options, name, handler)


def build_handler(wasq, scratch):
    """The bench's handler, which may have all of the host's instances; as normal work it would leave a quarter free."""
    subprocess.run([wasq, "build", ROOT / "bench/handler", "--out", scratch / "built"], check=True, stdout=subprocess.DEVNULL)
    (built,) = (scratch / "built").glob("*.wasm")
    built.with_suffix(".toml").write_text('name = "bench"\ntypes = ["bench"]\npriority = "high"\n')
    return built


def curve(options, name, handler):
    values, of_value = CURVES[name]
    if options.points:
        step = (len(values) - 1) / max(1, options.points - 1)
        values = sorted({values[round(step * place)] for place in range(options.points)})
    if options.values:
        values = [int(value) for value in options.values.split(",")]
    for value in values:
        arguments, messages = of_value(value)
        said = {"x": value, **bench(options, handler, arguments, messages)}
        keep(options.out, name, [said])
        print(f"{name} {value}: {said['messages_per_s']:.0f} messages/s, {said['cpu_us']:.1f} µs, "
              f"{said['rss_bytes'] / 2**20:.0f} MiB", file=sys.stderr)


def bench(options, handler, arguments, messages):
    messages = max(20, int(messages * options.scale))
    common = ["--json", "--only", "wasq", "--latency", "0", "--handler", handler, "--pollers", options.pollers,
              "--rounds", options.rounds, "--messages", messages]
    command = [*shlex.split(options.under), bench_of(options.wasq), *common, *arguments]
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(f"{shlex.join(str(word) for word in command)} failed:\n{ran.stderr}")
    report = json.loads(ran.stdout)
    median = report["contestants"][0]["median"]
    return {"messages": messages, "messages_per_s": median["messages_per_s"], "cpu_us": median["cpu_us"]["contestant"],
            "guest_us": median["cpu_us"]["guest"], "queue_us": median["cpu_us"]["queue"],
            "calls_per_message": median["calls_per_message"], "rss_bytes": median["rss_peak_bytes"],
            "optimised": report["optimised"], "cpu": report["machine"]["cpu"], "load": report["machine"]["load_before"]}


def idle(options, handler, scratch):
    """A host that has nothing to do, and how long a start takes with its code compiled already."""
    found = {}
    for plugins in [1, max(2, int(100 * options.scale))]:
        dir = scratch / f"idle-{plugins}"
        with local_queue(bench_of(options.wasq), dir / "sqs") as endpoint:
            config = host_files(dir, endpoint, handler, plugins)
            # The first start compiles.
            with host(options.wasq, config, dir):
                pass
            starts = []
            for _ in range(3):
                with host(options.wasq, config, dir) as (_, seconds):
                    starts.append(seconds)
            with host(options.wasq, config, dir) as (pid, _):
                # What the start left to be done is done by then.
                time.sleep(min(5, options.idle_s))
                cpu_before, began = cpu_s(pid), time.monotonic()
                time.sleep(options.idle_s)
                cpu_percent = 100 * (cpu_s(pid) - cpu_before) / (time.monotonic() - began)
                rss = rss_bytes(pid)
        found[str(plugins)] = {"ready_s": sorted(starts)[1], "rss_bytes": rss, "cpu_percent": cpu_percent}
        print(f"idle, {plugins} plugins: ready in {sorted(starts)[1]:.3f} s, {rss / 2**20:.1f} MiB, {cpu_percent:.3f} % CPU",
              file=sys.stderr)
    return found


def bench_of(wasq):
    """The bench's binary, which a build puts beside the host's."""
    return wasq.with_name("wasq-bench")


@contextlib.contextmanager
def local_queue(bench, dir):
    """The bench's own queue, in a process of its own."""
    dir.mkdir(parents=True)
    process = subprocess.Popen([bench, "worker", json.dumps({"queue": str(dir)})], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()


def host_files(dir, endpoint, handler, plugins):
    def create(name):
        request = urllib.request.Request(endpoint, json.dumps({"QueueName": name}).encode(), {
            "content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.CreateQueue",
            "authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=none"})
        return json.load(urllib.request.urlopen(request))["QueueUrl"]

    (dir / "plugins").mkdir()
    for number in range(plugins):
        name = f"bench-{number}"
        shutil.copy(handler, dir / "plugins" / f"{name}.wasm")
        (dir / "plugins" / f"{name}.toml").write_text(f'name = "{name}"\ntypes = ["{name}"]\n')
    config = dir / "wasq.toml"
    config.write_text(
        f'grant_all = true\nplugins_dir = "plugins"\ncompile_cache = "cache"\nledger = {{ store = "local", path = "ledger" }}\n'
        f'[aws]\nendpoint_url = "{endpoint}"\n[admin]\nlisten = "127.0.0.1:{free_port()}"\n'
        f'[queues.jobs]\nurl = "{create("jobs")}"\ndlq = "{create("jobs-dlq")}"\n')
    return config


def free_port():
    import socket
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def host(wasq, config, dir):
    """A host that is ready, and how long it took until it said so."""
    admin = next(line.split('"')[1] for line in config.read_text().splitlines() if line.startswith("listen"))
    keys = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "us-east-1"}
    with open(dir / "host.log", "ab") as log:
        began = time.monotonic()
        process = subprocess.Popen([wasq, "run", "--config", config], env={**os.environ, **keys}, stdout=log, stderr=log)
    try:
        while not is_ready(admin):
            if process.poll() is not None or time.monotonic() - began > 300:
                sys.exit(f"the host did not become ready:\n{(dir / 'host.log').read_text()}")
            time.sleep(0.002)
        yield process.pid, time.monotonic() - began
    finally:
        # Not asked to end: it would wait for its long poll.
        process.kill()
        process.wait()


def is_ready(admin):
    try:
        with urllib.request.urlopen(f"http://{admin}/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def cpu_s(pid):
    """User and system time of the process, its ended threads included: fields 14 and 15 of /proc/PID/stat (proc(5)), in 10 ms."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    sys.exit(f"/proc/{pid}/status has no VmRSS")


def keep(path, name, found):
    """Puts what was found into the file, in the place of what was there for the same values."""
    all_found = json.loads(path.read_text()) if path.exists() else {}
    if name == "idle":
        all_found[name] = found
    else:
        by_value = {point["x"]: point for point in [*all_found.get(name, {}).get("points", []), *found]}
        all_found[name] = {"points": [by_value[value] for value in sorted(by_value)]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(all_found, indent=1) + "\n")


if __name__ == "__main__":
    main()
