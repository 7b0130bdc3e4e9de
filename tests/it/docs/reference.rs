//! The references of `plugin.toml` and `wasq.toml`: each key of the code's types is documented
//! once, with its type, its default and its bounds, and nothing else is.
//!
//! The keys are those that the parser names when it meets one that it does not know. A default is
//! right if saying it changes nothing, a bound if the value at it is taken and the next one is not.

use std::collections::BTreeSet;
use std::path::Path;

use wasq::cli::schema::SchemaOf;
use wasq::config::Config;
use wasq::plugins::manifest::Manifest;

use super::{document, root};
use crate::support::schema;

/// What is parsed, as its `Debug`, or the error's words.
type Parse = fn(&str) -> Result<String, String>;

const TOPICS: &str = "['arn:aws:sns:eu-west-1:123456789012:shop-*']";

/// A table of the document and the place of its keys: a text with `KEY` where a key's line goes,
/// which is complete without it.
struct Section {
    heading: &'static str,
    place: &'static str,
}

const fn section(heading: &'static str, place: &'static str) -> Section {
    Section { heading, place }
}

/// A line of a table.
struct Row {
    key: String,
    kind: String,
    default: String,
    bounds: String,
}

const CONFIG: &[Section] = &[
    section("Top level", "KEY\n[queues.q]"),
    section("`[aws]`", "[queues.q]\n[aws]\nKEY"),
    section("`[queues.NAME]`", "[queues.q]\nKEY"),
    section(
        "`[queues.NAME.rabbitmq]`",
        "[queues.q]\n[outlets.o]\nbroker = 'rabbitmq'\nurl = 'amqp://x'\n[outlets.o.rabbitmq]\nKEY",
    ),
    section(
        "`[queues.NAME.redis]`",
        "[queues.q]\n[outlets.o]\nbroker = 'redis'\nurl = 'redis://x'\n[outlets.o.redis]\nKEY",
    ),
    section(
        "`[queues.NAME.kafka]`",
        "[queues.q]\n[outlets.o]\nbroker = 'kafka'\nurl = 'kafka://x'\n[outlets.o.kafka]\nKEY",
    ),
    section("`[outlets.NAME]`", "[queues.q]\n[outlets.o]\nKEY"),
    section(
        "`[schedules.NAME]`",
        "[queues.q]\n[queues.r]\n[schedules.s]\ncron = '@yearly'\nqueue = 'q'\ntype = 't'\nKEY",
    ),
    section("`[ingress]`", "[queues.q]\n[ingress]\nKEY"),
    section(
        "`[ingress.tokens.NAME]`",
        "[queues.q]\n[secrets.s]\nenv = 'x'\n[secrets.r]\nenv = 'x'\n[ingress.tokens.t]\nsecret = 's'\nKEY",
    ),
    section("`[ingress.types.NAME]`", "[queues.q]\n[queues.r]\n[ingress]\nqueue='q'\n[ingress.types.t]\nKEY"),
    section(
        "`[ingress.types.NAME.signature]`",
        "[queues.q]\n[secrets.s]\nenv = 'x'\n[secrets.r]\nenv = 'x'\n[ingress.types.t.signature]\nsecret = 's'\nKEY",
    ),
    section("`[plugins.NAME]`", "[queues.q]\n[plugins.p]\nKEY"),
    section(
        "`[plugins.NAME.sign.DESTINATION]`",
        "[queues.q]\n[plugins.p.sign.'https://dynamodb.eu-west-1.amazonaws.com']\nKEY",
    ),
    section("`[rollout]`", "[queues.q]\n[rollout]\nKEY"),
    section("`store = \"local\"`", "[queues.q]\n[ledger]\nstore = 'local'\nKEY"),
    section("`store = \"dynamodb\"`", "[queues.q]\n[ledger]\nstore = 'dynamodb'\nKEY"),
    section("`store = \"redis\"`", "[queues.q]\n[ledger]\nstore = 'redis'\nKEY"),
    section("`store = \"postgres\"`", "[queues.q]\n[ledger]\nstore = 'postgres'\nKEY"),
    section("`[oci]`", "[queues.q]\n[oci]\nKEY"),
    section("`[admin]`", "[queues.q]\n[admin]\nKEY"),
    section("`[telemetry]`", "[queues.q]\n[telemetry]\nKEY"),
    section("`[egress]`", "[queues.q]\n[egress]\nKEY"),
    section("`[secrets.NAME]`", "[queues.q]\n[secrets.S]\nenv = 'from-env'\nKEY"),
    section("`[rates.NAME]`", "[queues.q]\n[rates.r]\nlimit = '1/s'\nKEY"),
    section("`[limits]`", "[queues.q]\n[limits]\nKEY"),
];

const MANIFEST: &[Section] = &[
    section("Top level", "name = 'p'\ntypes = ['t']\nKEY"),
    section("`[keyed_concurrency]`", "name = 'p'\ntypes = ['t']\n[keyed_concurrency]\nkey = '{/x}'\nmax = 2\nKEY"),
    section("`[retry]`", "name = 'p'\ntypes = ['t']\n[retry]\nKEY"),
    section("`[idempotency]`", "name = 'p'\ntypes = ['t']\n[idempotency]\nKEY"),
    section("`[build]`", "name = 'p'\ntypes = ['t']\n[build]\nKEY"),
];

#[test]
fn the_manifests_reference_has_every_key_with_its_type_default_and_bounds() {
    check("manifest.md", MANIFEST, parse_manifest);
}

#[test]
fn the_configs_reference_has_every_key_with_its_type_default_and_bounds() {
    check("config.md", CONFIG, parse_config);
    let error = parse_config("[queues.q]\n[ledger]\nstore = 'x'").unwrap_err();
    let stores: Vec<_> = expected(&error).into_iter().map(|store| format!("`store = \"{store}\"`")).collect();
    let headings: Vec<_> = CONFIG.iter().map(|section| section.heading).filter(|h| h.starts_with("`store")).collect();
    assert_eq!(headings, stores);
    for (pools, fits) in [("0", false), ("1", true), ("10000", true), ("10001", false)] {
        assert_eq!(parse_config(&format!("[queues.q]\n[pools]\nsmtp = {pools}")).is_ok(), fits, "pools.smtp = {pools}");
    }
}

fn parse_manifest(text: &str) -> Result<String, String> {
    let parsed = Manifest::parse(text).map(|manifest| format!("{manifest:#?}")).map_err(|error| error.to_string());
    as_the_schema_says(SchemaOf::Plugin, text, parsed)
}

fn parse_config(text: &str) -> Result<String, String> {
    let parsed = Config::parse(text, Path::new("wasq.toml"));
    let parsed = parsed.map(|config| format!("{config:#?}")).map_err(|error| error.to_string());
    as_the_schema_says(SchemaOf::Config, text, parsed)
}

/// The schema takes what the code takes, and refuses what has no such shape. Bounds are the code's.
fn as_the_schema_says(of: SchemaOf, text: &str, parsed: Result<String, String>) -> Result<String, String> {
    let faults = schema::faults(of, text);
    let is_of_shape =
        |error: &String| ["unknown field", "unknown variant", "missing field"].iter().any(|part| error.contains(part));
    match &parsed {
        Ok(_) => assert!(faults.is_empty(), "the schema does not take {text}: {faults:?}"),
        Err(error) if is_of_shape(error) => assert!(!faults.is_empty(), "the schema takes {text}: {error}"),
        Err(_) => {}
    }
    parsed
}

#[test]
fn the_configs_reference_has_every_variable_that_the_host_reads() {
    let text = document("config.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `WASQ_")?.split('`').next());
    let documented: Vec<_> = rows.map(|rest| format!("WASQ_{rest}")).collect();
    let mut read = BTreeSet::new();
    for sources in ["core/src", "queues/src", "ledgers/src", "host/src"] {
        variables(&root().join(sources), &mut read);
    }
    assert_eq!(documented.iter().cloned().collect::<BTreeSet<_>>(), read);
    assert_eq!(documented.len(), read.len(), "one of {documented:?} is there twice");
}

/// The variables that the sources under a directory name as a whole string, but for those of tests.
fn variables(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            variables(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            let names = source.split('"').filter(|text| text.starts_with("WASQ_") && !text.starts_with("WASQ_TEST_"));
            let name_ok = |text: &&str| text.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            found.extend(names.filter(name_ok).map(str::to_owned));
        }
    }
}

/// Holds a document to the parser.
fn check(name: &str, sections: &[Section], parse: Parse) {
    let text = document(name);
    let mut tables = BTreeSet::new();
    for chunk in text.split("\n#").skip(1) {
        let heading = chunk.lines().next().unwrap().trim_start_matches('#').trim();
        let rows: Vec<_> = chunk.lines().filter_map(row).collect();
        if !rows.is_empty() {
            assert!(tables.insert(heading.to_owned()), "{name}: {heading} is there twice");
            let section = sections.iter().find(|section| section.heading == heading);
            let section = section.unwrap_or_else(|| panic!("{name}: {heading} is of no table that the code knows"));
            check_section(&format!("{name}, {heading}"), section, &rows, parse);
        }
        for row in rows.iter().filter(|row| row.kind == "table") {
            let below = format!("# `[{}", row.key);
            let inside = format!(".{}", row.key);
            let is_there = text.contains(&below) || text.lines().any(|l| l.starts_with('#') && l.contains(&inside));
            assert!(is_there, "{name}: nothing says what is in the table `{}`", row.key);
        }
    }
    for section in sections {
        assert!(tables.contains(section.heading), "{name} does not have {}", section.heading);
    }
}

fn check_section(place: &str, section: &Section, rows: &[Row], parse: Parse) {
    let unknown = parse(&with(section, "no_such_key = 1", "")).expect_err("no table takes an unknown key");
    let keys: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys, expected(&unknown), "{place}: these are documented, and those are in the code, in its order");
    for row in rows.iter().filter(|row| row.kind != "table") {
        check_row(&format!("{place}, `{}`", row.key), section, row, parse);
    }
}

fn check_row(place: &str, section: &Section, row: &Row, parse: Parse) {
    let set = |value: &str| parse(&with(section, &format!("{} = {value}", row.key), &row.key));
    let unset = parse(&with(section, "", ""));
    let unset = unset.unwrap_or_else(|error| panic!("{place}: its table is not complete without it: {error}"));
    let (good, bad) = samples(place, row);
    for value in &good {
        set(value).unwrap_or_else(|error| panic!("{place} is not taken as {value}: {error}"));
    }
    let other = set(good.last().unwrap()).unwrap();
    assert_ne!(other, unset, "{place} does not do anything");
    assert!(set(bad).is_err(), "{place} is no {}: {bad} is taken", row.kind);
    if row.kind.starts_with('`') {
        let variants = set("'no such thing'").unwrap_err();
        assert_eq!(
            expected(&variants),
            good.iter().map(|value| value.trim_matches('"')).collect::<Vec<_>>(),
            "{place}"
        );
    }
    match row.default.as_str() {
        "none" => {
            let none = unset.lines().zip(other.lines()).find(|(a, b)| a != b).map(|(line, _)| line.trim());
            // A secret's place is said by one key of several; saying another takes the first one's
            // place.
            // And so is a schedule's rule.
            let expect = [
                "env: Some(",
                "\"from-env\",",
                "cron: Some(",
                "\"@yearly\",",
                "tls_certificate: None,",
                "certificate_file: None,",
            ]
            .map(str::to_owned);
            let expect = expect.into_iter().chain([format!("{}: None,", row.key)]).collect::<Vec<_>>();
            assert!(none.is_some_and(|line| expect.iter().any(|e| e == line)), "{place} has a default: {none:?}");
        }
        "required" => assert!(parse(&with(section, "", &row.key)).is_err(), "{place} is not required"),
        default => assert_eq!(set(default).as_ref(), Ok(&unset), "{place}: its default is not {default}"),
    }
    check_bounds(place, row, set);
}

fn check_bounds(place: &str, row: &Row, set: impl Fn(&str) -> Result<String, String>) {
    let refused = |value: Option<String>| {
        if let Some(value) = value {
            assert!(set(&value).is_err(), "{place}: {value} is out of its bounds, and is taken");
        }
    };
    let measured = ["integer", "number", "duration", "size", "percentage"].contains(&row.kind.as_str());
    match row.bounds.as_str() {
        "" => assert!(!measured, "{place}: its bounds are not said"),
        "any" if row.kind == "integer" => assert!(set("0").is_ok() && set("4000000000").is_ok(), "{place} has bounds"),
        "any" => assert!(set("'0s'").is_ok() && set("'99999d'").is_ok(), "{place} has bounds"),
        "1 or more" => {
            refused(Some("0".into()));
            assert!(set("1").is_ok() && set("4000000000").is_ok(), "{place} has other bounds");
        }
        bounds => {
            let whole = bounds.ends_with(", whole seconds");
            let pair = bounds.trim_end_matches(", whole seconds").split_once(" to ");
            let (low, high) = pair.unwrap_or_else(|| panic!("{place}: {bounds} are no bounds"));
            for value in [low, high] {
                assert!(set(value).is_ok(), "{place} does not take its bound {value}: {:?}", set(value));
            }
            refused(beyond(low, -1, whole));
            refused(beyond(high, 1, whole));
            if row.kind == "duration" {
                let between = beyond(low, 1, false).expect("it is above a bound");
                assert_eq!(set(&between).is_err(), whole, "{place}: whether it takes parts of a second is not said");
            }
        }
    }
}

/// A section's text with this line in it, and without the line of a key that it replaces.
fn with(section: &Section, line: &str, replaced: &str) -> String {
    // Of a secret's places only one may be said.
    let replaces = |own: &str| match section.heading {
        "`[secrets.NAME]`" => !replaced.is_empty() && own.starts_with("env = "),
        "`[schedules.NAME]`" if replaced == "every" => own.starts_with("cron = "),
        _ => !replaced.is_empty() && own.starts_with(&format!("{replaced} = ")),
    };
    // What some keys need beside them.
    let line = match line {
        line if line.starts_with("field = ") => format!("secretsmanager = 'x'\n{line}"),
        "broker = \"rabbitmq\"" => format!("url = 'amqp://x'\n{line}"),
        "broker = \"redis\"" => format!("url = 'redis://x'\n{line}"),
        "broker = \"kafka\"" => format!("url = 'kafka://x'\nkafka = {{ group = 'x' }}\n{line}"),
        line if line.starts_with("certificate_file = ") => format!("key_file = 'x'\n{line}"),
        line if line.starts_with("key_file = ") => format!("certificate_file = 'x'\n{line}"),
        "split = true" => format!("envelope = 'auto'\n{line}"),
        "confirm_subscriptions = true" => format!("topics = {TOPICS}\n{line}"),
        line if line.starts_with("tls_certificate = ") => format!("tls_key = 'x'\n{line}"),
        line if line.starts_with("tls_key = ") => format!("tls_certificate = 'x'\n{line}"),
        "delete_payload = true" => format!("claim_check_bucket = 'bucket'\n{line}"),
        line => line.to_owned(),
    };
    let kept: Vec<_> = section.place.lines().filter(|own| !replaces(own)).collect();
    kept.join("\n").replace("KEY", &line)
}

/// The words in backticks that stand behind `expected` in an error.
fn expected(error: &str) -> Vec<&str> {
    let (_, names) = error.split_once("expected ").unwrap_or_else(|| panic!("it does not name what it knows: {error}"));
    let names = names.lines().next().unwrap_or_default();
    names.split('`').skip(1).step_by(2).collect()
}

/// A row of a reference's table: its first column is a key, and it has five.
fn row(line: &str) -> Option<Row> {
    let cells: Vec<_> = line.strip_prefix("| `")?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [key, kind, default, bounds, _] = cells[..] else { return None };
    let plain = |cell: &str| cell.replace('`', "");
    Some(Row { key: plain(key), kind: kind.to_owned(), default: plain(default), bounds: plain(bounds) })
}

/// Values of the row's type, the last of them not the default; and one of another type.
fn samples(place: &str, row: &Row) -> (Vec<String>, &'static str) {
    let low = row.bounds.split_once(" to ").map(|(low, _)| low.to_owned());
    let one = |value: &str| vec![value.to_owned()];
    let bound = |value: &str| vec![low.clone().unwrap_or_else(|| value.to_owned())];
    let key = "['RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3']";
    match row.kind.as_str() {
        variants if variants.starts_with('`') => {
            (variants.split('`').skip(1).step_by(2).map(str::to_owned).collect(), "1")
        }
        "string" | "path" => (one("'x'"), "1"),
        "template" => (one("'a:{/b}'"), "'{b'"),
        "cron" => (one("'0 3 1 1 *'"), "'x'"),
        "time zone" => (one("'Europe/Berlin'"), "'Europe/Berlyn'"),
        "string or table" => (vec!["'x'".into(), "{ a = 1 }".into()], "1"),
        "queue" | "secret" => (one(if place.ends_with("[ingress]`, `queue`") { "'q'" } else { "'r'" }), "'x'"),
        "rate" => (one("'5/s'"), "'x'"),
        "list of types" => (one("['x']"), "['x*y']"),
        "header" => (one("'x-y'"), "'x y'"),
        "address" => (one("'127.0.0.1:1'"), "'x'"),
        "boolean" => (one(if row.default == "true" { "false" } else { "true" }), "1"),
        "integer, `\"auto\"` or `{ min, max }`" => (vec!["3".into(), "'auto'".into()], "'3'"),
        "integer" if low.as_deref() == Some(row.default.as_str()) => (one("2"), "'3'"),
        "integer" => (bound("3"), "'3'"),
        "number" => (bound("3.0"), "'3'"),
        "duration" if row.key == "jitter" => (one("'3s'"), "3"),
        "duration" => (bound("'3s'"), "3"),
        "size" => (bound("3"), "'x'"),
        "percentage" => (one("'5%'"), "5"),
        "list of rates" => (one("['a', 'b:{/c}']"), "['a:b']"),
        "list of strings" => (one("['x']"), "'x'"),
        "list of places" => (one("['attribute:a', 'envelope', '/type', '/a/b']"), "['x']"),
        "list of references" => (one("['oci://r.example/a:1']"), "['r.example/a:1']"),
        "list of registries" => (one("['r.example:5000']"), "['http://r.example']"),
        "bucket" => (one("'bucket'"), "'B'"),
        "list of topic ARNs" => (one(TOPICS), "['x']"),
        "list of empty interfaces" => (one("['wasi:filesystem']"), "['wasi:http']"),
        "list of minisign keys" => (one(key), "['x']"),
        "service" => (one("'x'"), "'X'"),
        "role's ARN" => (one("'arn:aws:iam::123456789012:role/x'"), "'x'"),
        "list of requests" => (one("['GET /x']"), "['x']"),
        "list of targets" => (one("['A.b']"), "['x']"),
        "table of tables" => (one("{ 'https://s3.amazonaws.com' = { region = 'x' } }"), "{ a = 'x' }"),
        "table of strings" => (one("{ a = 'x' }"), "{ a = 1 }"),
        "table of tables of strings" => (one("{ a = { b = 'x' } }"), "{ a = 'x' }"),
        other => panic!("{place}: {other} is no type that the reference knows"),
    }
}

/// The next value past a bound in one direction; none below nothing.
fn beyond(bound: &str, step: i64, whole_seconds: bool) -> Option<String> {
    let text = bound.trim_matches('"');
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.contains('.') {
        return Some(format!("{}", number.parse::<f64>().unwrap() + 0.1 * step as f64));
    }
    let number: i64 = number.parse().unwrap_or_else(|_| panic!("{bound} is no bound"));
    let time = |ms: i64| {
        let step_ms = if whole_seconds { 1_000 * step } else { step };
        Some(number * ms + step_ms).filter(|ms| *ms >= 0).map(|ms| format!("'{ms}ms'"))
    };
    let size = |bytes: i64| Some(number * bytes + step).filter(|bytes| *bytes >= 0).map(|bytes| bytes.to_string());
    match unit {
        "" => size(1),
        "%" => Some(format!("'{}%'", number + step)),
        "KiB" => size(1 << 10),
        "MiB" => size(1 << 20),
        "GiB" => size(1 << 30),
        "TiB" => size(1 << 40),
        "ms" => time(1),
        "s" => time(1_000),
        "m" => time(60_000),
        "h" => time(3_600_000),
        "d" => time(86_400_000),
        other => panic!("{bound}: {other} is no unit"),
    }
}
