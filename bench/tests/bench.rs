//! `wasq-bench`: whatever it measures, it must have handled all messages, and once. No test here
//! looks at a time.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use wasq_tests::servers::{PASSWORD, Server};

/// How long a bench may take here; it may compile its handler.
const LIMIT: Duration = Duration::from_secs(15 * 60);

const MESSAGES: u64 = 200;

/// Runs `wasq-bench` to its end, in the clone. The answer is what it printed, as JSON.
async fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>, target: &Path) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasq-bench"));
    command.args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command.env("CARGO_TARGET_DIR", target).env("AWS_EC2_METADATA_DISABLED", "true").kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.expect("it ends in time").expect("it starts");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {log}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {log}"))
}

/// Runs `wasq-bench` with arguments that it does not take. The answer is what it says of them.
async fn refused(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_wasq-bench")).args(arguments).output().await.expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a small bench and checks what must hold of every one.
async fn bench(arguments: &[&str]) -> Value {
    let handler = wasq_tests::plugin("bench-handler");
    let messages = MESSAGES.to_string();
    // The handler was compiled for the tests already; in the same target directory there is nothing
    // left to do.
    let target = handler.ancestors().nth(3).expect("TARGET_DIR/wasm32-wasip2/release/FILE");
    let common = ["--json", "--messages", &messages, "--rounds", "1"];
    let report = run(common.iter().chain(arguments), target).await;
    for contestant in report["contestants"].as_array().unwrap() {
        let median = &contestant["median"];
        assert_eq!(contestant["rounds"].as_array().unwrap().len(), 1, "{contestant}");
        assert_eq!(contestant["rounds"][0]["handled"], MESSAGES, "{contestant}");
        for positive in [
            &median["messages_per_s"],
            &median["cpu_us"]["contestant"],
            &median["cpu_us"]["queue"],
            &median["rss_peak_bytes"],
        ] {
            assert!(positive.as_f64().unwrap() > 0.0, "{contestant}");
        }
        // A receive brings ten at most.
        assert!(median["calls_per_message"].as_f64().unwrap() >= 0.1, "{contestant}");
    }
    report
}

fn contestant<'r>(report: &'r Value, name: &str) -> &'r Value {
    let all = report["contestants"].as_array().unwrap();
    all.iter().find(|contestant| contestant["name"] == name).unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[tokio::test]
async fn the_host_and_the_ceiling_handle_all_messages_and_are_compared() {
    let report = bench(&["--only", "wasq,native", "--latency", "1", "--rate", "100"]).await;
    // What the numbers of pollers gave.
    for name in ["wasq", "native"] {
        let steps = contestant(&report, name)["calibration"].as_array().unwrap();
        let best = steps
            .iter()
            .max_by(|a, b| a["messages_per_s"].as_f64().partial_cmp(&b["messages_per_s"].as_f64()).unwrap());
        assert_eq!(best.unwrap()["pollers"], contestant(&report, name)["pace"]["pollers"]);
    }
    let cpu = &contestant(&report, "wasq")["median"]["cpu_us"];
    let of = |part: &str| cpu[part].as_f64().unwrap();
    assert!(of("guest") > 0.0 && (of("host") + of("guest") - of("contestant")).abs() < 0.01, "{cpu}");

    let [ratio] = &report["ratios"].as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!((&ratio["of"], &ratio["to"]), (&"wasq".into(), &"native".into()));
    let rate = |name: &str| contestant(&report, name)["median"]["messages_per_s"].as_f64().unwrap();
    assert!((ratio["ratio"].as_f64().unwrap() - rate("wasq") / rate("native")).abs() < 1e-6, "{ratio}");

    let latency = report["latency"].as_array().unwrap();
    assert_eq!(latency.iter().map(|watched| &watched["name"]).collect::<Vec<_>>(), ["wasq", "native"]);
    for watched in latency {
        assert_eq!(watched["messages"], 100, "{watched}");
        for times in [&watched["sent_to_start_ms"], &watched["start_to_settled_ms"]] {
            let [p50, p99, p999] = ["p50", "p99", "p999"].map(|part| times[part].as_f64().unwrap());
            assert!(p50 <= p99 && p99 <= p999, "{watched}");
        }
    }
}

#[tokio::test]
async fn variants_and_peers_handle_all_messages() {
    let names = "wasq,wasq-no-ledger,wasq-native,trigger,sqs-consumer,sqs-consumer-single,boto3";
    let report = bench(&["--only", names, "--pollers", "2", "--latency", "0"]).await;
    assert_eq!(report["left_out"], serde_json::json!([]), "is tests/clients/setup.sh done?");
    let found: Vec<_> = report["contestants"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(found.len(), names.split(',').count());
    // One delete a message, and one for ten.
    let deletes = |name: &str, operation: &str| contestant(&report, name)["rounds"][0]["calls"][operation].as_u64();
    assert_eq!(deletes("trigger", "DeleteMessage"), Some(MESSAGES));
    assert_eq!(deletes("sqs-consumer-single", "DeleteMessage"), Some(MESSAGES));
    assert!(deletes("sqs-consumer", "DeleteMessageBatch").unwrap() < MESSAGES);
    assert!(deletes("boto3", "DeleteMessageBatch").unwrap() < MESSAGES);
}

/// On the broker of a server.
async fn on_server(broker: &str, server: Server) {
    let handler = wasq_tests::plugin("bench-handler");
    let target = handler.ancestors().nth(3).expect("TARGET_DIR/wasm32-wasip2/release/FILE");
    let (messages, url) = (MESSAGES.to_string(), server.url());
    let small = ["--json", "--rounds", "1", "--pollers", "2", "--latency", "1", "--rate", "100"];
    let report =
        run(small.iter().chain(&["--messages", &messages, "--broker", broker, "--broker-url", &url]), target).await;
    assert_eq!((&report["settings"]["broker"], &report["left_out"]), (&broker.into(), &serde_json::json!([])));
    let contestants = report["contestants"].as_array().unwrap();
    let names: Vec<_> = contestants.iter().map(|contestant| contestant["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["wasq", "wasq-no-ledger", "wasq-native", "native", "python"], "{broker}");
    for contestant in contestants {
        assert_eq!(contestant["rounds"][0]["handled"], MESSAGES, "{broker}: {contestant}");
    }
    assert_eq!(report["latency"].as_array().unwrap().len(), 1, "{broker}: of the host");
    assert!(!report.to_string().contains(PASSWORD), "{broker}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_brokers_are_emptied_by_the_host_a_plain_consumer_and_a_script() {
    on_server("rabbitmq", Server::rabbitmq().unwrap()).await;
    on_server("redis", Server::redis().unwrap()).await;
    on_server("kafka", Server::kafka().unwrap()).await;
}

#[tokio::test]
async fn a_load_may_have_duplicates_many_plugins_and_sleep() {
    let more = ["--duplicates", "50", "--plugins", "5", "--handler-sleep", "1", "--bytes", "100"];
    let report = bench(&[&["--only", "wasq", "--pollers", "1", "--latency", "0"], &more[..]].concat()).await;
    // The others were done while it got warm.
    assert_eq!(contestant(&report, "wasq")["rounds"][0]["runs"], MESSAGES / 2);
    assert_eq!(report["ratios"], serde_json::json!([]));
}

#[tokio::test]
async fn the_local_queue_is_compared_with_emulators() {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients");
    let arguments = ["--queues", "--json", "--messages", "100", "--rounds", "1", "--clients"];
    let report = run(arguments.iter().map(AsRef::as_ref).chain([clients.as_os_str()]), Path::new("target")).await;
    assert_eq!(report["left_out"], serde_json::json!([]), "is tests/clients/setup.sh done?");
    let queues = report["queues"].as_array().unwrap();
    assert_eq!(queues.iter().map(|queue| &queue["name"]).collect::<Vec<_>>(), ["wasq", "fauxqs", "moto"]);
    for queue in queues {
        for part in ["sent_per_s", "received_and_deleted_per_s"] {
            let (own, wasq) = (queue["median"][part].as_f64().unwrap(), queues[0]["median"][part].as_f64().unwrap());
            let times = queue["wasq_is_so_many_times"][part].as_f64().unwrap();
            assert!(own > 0.0 && (times - wasq / own).abs() < 1e-6, "{queue}");
        }
    }
}

#[tokio::test]
async fn what_is_not_installed_is_left_out_by_name() {
    let empty = tempfile::tempdir().unwrap();
    let dir = empty.path().to_str().unwrap();
    let report =
        bench(&["--only", "native,boto3,sqs-consumer", "--pollers", "1", "--latency", "0", "--clients", dir]).await;
    let left_out = report["left_out"].as_array().unwrap();
    assert_eq!(left_out.iter().map(|left_out| &left_out["name"]).collect::<Vec<_>>(), ["sqs-consumer", "boto3"]);
    assert!(left_out[0]["why"].as_str().unwrap().contains("tests/clients/setup.sh"), "{left_out:?}");
}

#[tokio::test]
async fn what_it_does_not_know_or_take_it_names() {
    assert!(refused(&["--only", "sqs-cosumer"]).await.contains("sqs-consumer"));
    assert!(refused(&["--broker", "pigeons"]).await.contains("sqs, rabbitmq, redis, kafka"));
    assert!(refused(&["--bytes", "63"]).await.contains("64 to 1000000"));
}

#[tokio::test]
async fn its_help_says_what_it_compares_and_by_what() {
    let output = Command::new(env!("CARGO_BIN_EXE_wasq-bench")).arg("--help").output().await.expect("it starts");
    let help = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    let parts =
        ["--messages", "--only", "wasq-no-ledger", "--endpoint", "--handler", "--queues", "[default: 20000]", "ratios"];
    for part in parts {
        assert!(help.contains(part), "no {part:?} in {help}");
    }
}
