use std::path::Path;

use crate::config::Config;

use super::*;

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    Config::parse_in(text, Path::new("wasq.toml"), &Environment(variables.collect())).map_err(|error| error.to_string())
}

fn good(text: &str, variables: &[(&str, &str)]) -> Config {
    read(text, variables).unwrap_or_else(|error| panic!("{text:?} with {variables:?}: {error}"))
}

#[track_caller]
fn refused(text: &str, variables: &[(&str, &str)], parts: &[&str]) {
    let error = read(text, variables).expect_err("it is refused");
    for part in parts {
        assert!(error.contains(part), "{error:?} has no {part:?}");
    }
    assert!(!error.contains("s3cret"), "{error:?} shows a value");
}

#[test]
fn a_string_has_variables_and_defaults() {
    let check = |value: &str, expect: &str| {
        let text = format!("scope = \"{value}\"\n[queues.a]");
        let variables = [("STAGE", "prod"), ("EMPTY", ""), ("LIKE", "${STAGE}")];
        assert_eq!(good(&text, &variables).scope, expect, "{value}");
    };
    check("shop-${STAGE}", "shop-prod");
    check("${STAGE}${STAGE}", "prodprod");
    check("${NONE:-dev}", "dev");
    check("${EMPTY:-dev}", "dev");
    check("x${EMPTY}", "x");
    check("x${NONE:-}", "x");
    check("${LIKE}", "${STAGE}");
    check("$${STAGE}", "${STAGE}");
    check("a $ b { c }", "a $ b { c }");
    let config = good(
        "[queues.a]\n[plugins.p]\nqueues = ['${Q}']\n[plugins.p.variables]\nurl = 'https://${H}/'",
        &[("Q", "mails"), ("H", "h.example")],
    );
    assert_eq!(config.plugins["p"].queues.as_deref(), Some(&["mails".to_owned()][..]));
    assert_eq!(config.plugins["p"].variables["url"], "https://h.example/");
}

#[test]
fn an_error_of_a_variable_names_file_line_key_and_variable() {
    let text = "[queues.a]\n\ndlq = '${DLQ}'";
    refused(text, &[], &["wasq.toml", "line 3", "`queues.a.dlq`", "DLQ is not set", "${DLQ:-default}"]);
    refused("scope = '${a b}'\n[queues.a]", &[], &["line 1", "`scope`", "$${"]);
    refused("scope = '${STAGE'\n[queues.a]", &[("STAGE", "s3cret")], &["line 1", "`scope`", "no `}`"]);
    // Other errors have the line of the file, and show what stands there.
    refused("[queues.a]\ndlq = '${X}'\nconcurency = 3", &[("X", "s3cret")], &["line 3", "concurency"]);
    refused("[queues.a]\ndqn = '${X}'", &[("X", "s3cret")], &["line 2", "dqn", "${X}"]);
}

#[test]
fn a_variable_stands_for_any_key() {
    let text = "[queues.order-events]\nconcurrency = 3\n[plugins.send_mail]\ntimeout = '1s'";
    let variables = [
        ("WASQ_SCOPE", "shop"),
        ("WASQ_DRAIN_S", "7"),
        ("WASQ_GRANT_ALL", "true"),
        ("WASQ_QUEUES__ORDER_EVENTS__DLQ", "grave"),
        ("WASQ_QUEUES__ORDER_EVENTS__CONCURRENCY", "9"),
        ("WASQ_QUEUES__ORDER_EVENTS__WAIT", "5s"),
        ("WASQ_QUEUES__MAILS__DLQ", "mails-dlq"),
        ("WASQ_PLUGINS__SEND_MAIL__ALLOWED_OUTBOUND_HOSTS", "['https://a.example:443']"),
        ("WASQ_AWS__REGION", "eu-west-1"),
        ("WASQ_LEDGER__STORE", "redis"),
        ("WASQ_LEDGER__URL", "redis://:s3cret@h:1"),
    ];
    let config = good(text, &variables);
    assert_eq!((config.scope.as_str(), config.drain_s, config.grant_all), ("shop", 7, true));
    let queue = &config.queues["order-events"];
    assert_eq!((queue.dlq.as_deref(), queue.concurrency, queue.wait.as_secs()), (Some("grave"), 9.into(), 5));
    assert_eq!(config.queues["mails"].dlq.as_deref(), Some("mails-dlq"));
    assert_eq!(config.plugins["send_mail"].allowed_outbound_hosts.as_ref().unwrap().len(), 1);
    assert_eq!(config.aws.region.as_deref(), Some("eu-west-1"));
    assert!(matches!(config.ledger, crate::config::LedgerConfig::Redis(_)));
}

#[test]
fn a_value_that_looks_like_a_number_is_a_string_where_one_is_wanted() {
    let config = good("[queues.a]", &[("WASQ_SCOPE", "123"), ("WASQ_QUEUES__A__URL", "2024")]);
    assert_eq!(
        (config.scope.as_str(), config.queues["a"].url.as_ref().map(|url| url.0.as_str())),
        ("123", Some("2024"))
    );
}

#[test]
fn a_variable_that_sets_no_key_is_named() {
    let check = |variable: &str, value: &str, parts: &[&str]| {
        refused("[queues.a]", &[("WASQ_AWS__REGION", "eu-west-1"), (variable, value)], parts);
    };
    check("WASQ_QUEUES__A__DLQQ", "s3cret", &["WASQ_QUEUES__A__DLQQ", "unknown field `dlqq`", "`dlq`"]);
    check("WASQ_QUEUE__A__DLQ", "s3cret", &["WASQ_QUEUE__A__DLQ", "unknown field `queue`"]);
    check("WASQ_LEDGER__PATHS", "s3cret", &["WASQ_LEDGER__PATHS"]);
    check("WASQ_SCOPE__X", "s3cret", &["WASQ_SCOPE__X"]);
    check(
        "WASQ_QUEUES__A__CONCURRENCY",
        "s3cret",
        &["WASQ_QUEUES__A__CONCURRENCY", "invalid type: string, expected a number"],
    );
    check("WASQ_QUEUES__A__ENVELOPE", "s3cret", &["WASQ_QUEUES__A__ENVELOPE", "unknown variant, expected", "`auto`"]);
    check("WASQ_SECRETS__API_KEY", "s3cret", &["WASQ_SECRETS__API_KEY", "invalid type: string, expected"]);
    check(
        "WASQ_QUEUES__A__CONCURRENCY",
        "0",
        &["`queues.a.concurrency`", "the variable WASQ_QUEUES__A__CONCURRENCY sets it"],
    );
    // What a string of the file names is not shown either.
    refused("[queues.a]\nconcurrency = '${N}'", &[("N", "s3cret")], &["line 2", "`concurrency`", "expected a number"]);
}

#[test]
fn several_variables_with_one_fault_are_told_apart() {
    let both = [("WASQ_PLUGINS__P__VARIABLES__A", "1"), ("WASQ_PLUGINS__P__VARIABLES__B", "1")];
    let config = good("[queues.a]", &both);
    assert_eq!(config.plugins["p"].variables.values().collect::<Vec<_>>(), ["1", "1"]);
    let typo = [("WASQ_QUEUE__A__DLQ", "x"), ("WASQ_QUEUE__A__WAIT", "5s")];
    refused("[queues.a]", &typo, &["WASQ_QUEUE__A__", "unknown field `queue`"]);
    let text = "[queues.order-events]\n[queues.order_events]\n[queues.Orders]\n[queues.orders]";
    let named = good(text, &[("WASQ_QUEUES__ORDER_EVENTS__DLQ", "x"), ("WASQ_QUEUES__ORDERS__DLQ", "y")]);
    assert_eq!(named.queues["order_events"].dlq.as_deref(), Some("x"));
    assert_eq!((named.queues["orders"].dlq.as_deref(), &named.queues["Orders"].dlq), (Some("y"), &None));
    let text = "[queues.order-events]\n[queues.Order-Events]";
    refused(text, &[("WASQ_QUEUES__ORDER_EVENTS__DLQ", "x")], &["several names", "order-events", "Order-Events"]);
}

#[test]
fn a_variable_that_is_not_utf_8_is_named() {
    let refused = |text: &str, name: &str| {
        let environment = Environment([(name.to_owned(), None)].into());
        Config::parse_in(text, Path::new("wasq.toml"), &environment).unwrap_err().to_string()
    };
    for (text, name) in [("[queues.a]\ndlq = '${X}'", "X"), ("[queues.a]", "WASQ_QUEUES__A__DLQ")] {
        let error = refused(text, name);
        assert!(error.contains(name) && error.contains("not UTF-8"), "{error}");
    }
}

#[test]
fn variables_of_others_are_left_alone() {
    let others = [
        "WASQ_CONFIG",
        "WASQ_LOG",
        "WASQ_ADMIN",
        "WASQ_ADMIN_TOKEN",
        "WASQ_LEDGER_URL",
        "WASQ_PORT",
        "WASQ_SERVICE_HOST",
    ];
    good("[queues.a]", &others.map(|name| (name, "s3cret")));
}

#[test]
fn a_fifo_queues_default_knows_what_a_variable_says() {
    let default = good("[queues.'a.fifo']", &[]).queues["a.fifo"].unroutable_after;
    let said = good("[queues.'a.fifo']", &[("WASQ_QUEUES__A.FIFO__UNROUTABLE_AFTER", "24h")]).queues["a.fifo"]
        .unroutable_after;
    assert_eq!((default.as_secs(), said.as_secs()), (300, 86_400));
}

#[test]
fn the_keys_without_a_table_are_those_of_the_config() {
    let error = Config::parse("no_such_key = 1", Path::new("wasq.toml")).unwrap_err().to_string();
    let (_, names) = error.split_once("expected one of ").unwrap();
    let text = "[queues.a]";
    for name in names.split('`').skip(1).step_by(2) {
        let is_table = Config::parse(&format!("[{name}]\n{text}"), Path::new("wasq.toml")).is_ok()
            || ["queues", "ledger"].contains(&name);
        assert_ne!(TOP_LEVEL.contains(&name), is_table, "{name}");
    }
}
