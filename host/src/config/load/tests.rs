use super::*;
use crate::config::{ADMIN_PORT, QueueConfig, SecretSource};

#[test]
fn a_receive_never_waits_for_more_than_half_of_the_visibility() {
    let check = |wait_ms, visibility_s, expect_s| {
        let (wait, visibility) = (Duration::from_millis(wait_ms), Duration::from_secs(visibility_s));
        let queue = QueueConfig { wait, visibility, ..QueueConfig::default() };
        assert_eq!(queue.poll_wait(), Duration::from_secs(expect_s), "{wait_ms} ms under {visibility_s} s");
    };
    check(20_000, 60, 20);
    check(20_000, 40, 20);
    check(20_000, 15, 7);
    check(20_000, 2, 1);
    check(1_000, 2, 1);
    check(1_900, 60, 1);
    check(900, 60, 0);
    check(0, 60, 0);
}

#[test]
fn errors_name_file_line_and_key() {
    let check = |text: &str, expect: &[&str]| {
        let error = Config::parse(text, Path::new("wasq.toml")).unwrap_err().to_string();
        for part in expect {
            assert!(error.contains(part), "{text:?} gave {error:?}, wanted {part:?}");
        }
    };
    check("[queues.a]\nconcurency = 3", &["wasq.toml", "line 2", "concurency"]);
    check("[queues.a]\nconcurrency = 0", &["wasq.toml", "queues.a.concurrency", "1 to 10000"]);
    check("scope = \"x\"", &["queues"]);
    check("[queues.a]\nwait = \"30s\"", &["queues.a.wait", "20 s"]);
    check("[queues.a]\ndefault_type = \"\"", &["queues.a.default_type", "name a type"]);
    check("[queues.a]\nvisibility = \"1500ms\"", &["queues.a.visibility"]);
    check("[queues.self]", &["`queues.self`", "own queue"]);
    check("[queues.a]\n[outlets.self]", &["`outlets.self`", "own queue"]);
    check("[queues.a]\n[outlets.a]", &["`outlets.a`", "[queues.a]"]);
    check("[queues.a]\nurl = 'ftp://x/y'", &["`queues.a.url`", "ftp"]);
    check("[queues.a]\ndlq = 'two words'", &["`queues.a.dlq`", "two words"]);
    check("[queues.a]\ndlq = 'a'", &["`queues.a.dlq`", "its own DLQ"]);
    check("[queues.a]\ndlq = 'b'\n[queues.b]\ndlq = 'a'", &["`queues.a.dlq`", "from a to b to a"]);
    check("[queues.a]\ndeduplication_window = '59s'", &["queues.a.deduplication_window", "1 min"]);
    check("[queues.a\n", &["line 1"]);
    check("[queues.a]\n[limits]\nheaders = 1001", &["limits.headers", "1001", "1 to 1000"]);
    check("[queues.a]\n[limits]\nrequests_at_once = 0", &["limits.requests_at_once", "1 to 1000"]);
    check("[queues.a]\n[limits]\nbetween_bytes = '13h'", &["limits.between_bytes", "1 ms to 12 h"]);
    check("[queues.a]\n[egress]\nidle_timeout = '2h'", &["egress.idle_timeout", "1 s to 1 h"]);
    check("[queues.a]\n[secrets]\nTOKEN = {}", &["secrets.TOKEN", "env", "file"]);
    let secret = |source: &str, expect: &[&str]| {
        check(&format!("[queues.a]\n[secrets]\nTOKEN = {source}"), &[&["secrets.TOKEN"], expect].concat());
    };
    secret("{ env = 'A', file = 'b' }", &["twice", "env", "file", "secretsmanager", "ssm"]);
    secret("{ ssm = '/a', field = 'b' }", &["one of"]);
    secret("{ env = 'A', field = 'b' }", &["one of"]);
    secret("{ ssm = '' }", &["empty", "the name or the ARN"]);
    secret("{ secretsmanager = 'arn:aws:secretsmanager:r:1:secret:n-AbCdEf:key::' }", &["`field`"]);
    check("[queues.a]\n[egress]\nsecrets_refresh = '0s'", &["egress.secrets_refresh", "1 s to 1 day"]);
    check(
        "ledger = { store = 'dynamodb' }\nlimits = { step_bytes = 500000 }\n[queues.a]",
        &["limits.step_bytes", "405504"],
    );
}

#[test]
fn a_build_that_cannot_ask_aws_for_secrets_says_how_to_make_one_that_can() {
    let source = |text: &str| toml::from_str::<SecretSource>(text).unwrap();
    for location in ["ssm = '/a'", "secretsmanager = 'a'\nfield = 'b'"] {
        assert!(source(location).fault("TOKEN", true).is_none(), "{location}");
        let (key, _, rule) = source(location).fault("TOKEN", false).expect(location);
        assert!(key == "secrets.TOKEN" && rule.contains("--features aws-secrets"), "{key}: {rule}");
    }
    for location in ["env = 'A'", "file = 'a'"] {
        assert!(source(location).fault("TOKEN", false).is_none(), "{location}");
    }
}

#[test]
fn on_a_fifo_queue_an_unroutable_message_waits_for_minutes_unless_the_config_says_it() {
    let text = "[queues.jobs]\n['queues'.'jobs.fifo']\n[queues.ordered]\nurl = 'https://sqs.eu-west-1.amazonaws.com/1/o.fifo'\n\
                    ['queues'.'patient.fifo']\nunroutable_after = '24h'";
    let config = Config::parse(text, Path::new("wasq.toml")).unwrap();
    let minutes = |name: &str| config.queues[name].unroutable_after.as_secs() / 60;
    assert_eq!(["jobs", "jobs.fifo", "ordered", "patient.fifo"].map(minutes), [24 * 60, 5, 5, 24 * 60]);
}

#[test]
fn the_smallest_config_gets_every_default() {
    let config = Config::parse("[queues.orders]", Path::new("wasq.toml")).unwrap();
    assert_eq!(config.queues["orders"].concurrency, 64.into());
    assert_eq!(config.admin.listen.port(), ADMIN_PORT);
}
