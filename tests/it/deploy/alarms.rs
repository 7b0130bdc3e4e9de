//! The Prometheus rules and the Grafana dashboard, held against the metrics that the host has, and
//! against the other alarms.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wasq::telemetry::metrics::{ALL, Kind, Metric};

use super::{cloudwatch_alarms, path, read, yaml};
use crate::cli::binary::program;

const RULES: &str = "deploy/prometheus/rules.yml";

#[tokio::test]
async fn each_rule_rings_when_it_should_and_only_then() {
    program("promtool", ["check", "config", &path("deploy/prometheus/prometheus.yml")])
        .check(0, &["8 rules found"])
        .await;
    program("promtool", ["test", "rules", &path("deploy/prometheus/rules_test.yml")]).check(0, &["SUCCESS"]).await;
    let tests = read("deploy/prometheus/rules_test.yml");
    for alarm in alarms().await {
        let name = alarm["alert"].as_str().unwrap();
        let rings = tests.lines().any(|line| line.trim() == format!("alertname: {name}"));
        let rests = tests.contains(&format!("alertname: {name}, exp_alerts: []"));
        // An age's only bound is in its own value: the same test has a queue below it.
        assert!(rings && (rests || name == "DlqOld"), "{name} is not tested both ways");
    }
}

#[tokio::test]
async fn prometheus_and_cloudwatch_have_the_same_alarms_and_each_names_its_runbook_entry() {
    let alarms = alarms().await;
    let names: Vec<_> = alarms.iter().map(|alarm| alarm["alert"].as_str().unwrap()).collect();
    assert_eq!(names, cloudwatch_alarms());
    for (name, alarm) in names.iter().zip(&alarms) {
        let entry = format!("docs/operate/runbook.md#{}", name.to_lowercase());
        assert_eq!(alarm["annotations"]["runbook"], entry);
    }
}

#[tokio::test]
async fn every_expression_is_one_and_asks_for_metrics_and_labels_that_there_are() {
    let rules = alarms().await.into_iter().map(|alarm| alarm["expr"].as_str().unwrap().to_owned());
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/wasq.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let shown: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    assert!(shown.len() > 20, "the dashboard's expressions were not found");
    for expression in rules.chain(shown.iter().cloned()) {
        check(&expression);
    }

    // Grafana's own variable stands where Prometheus wants a duration.
    let rules = shown.iter().map(|shown| shown.replace("$__rate_interval", "5m"));
    let rules = rules.enumerate().map(|(number, expr)| json!({ "record": format!("shown:{number}"), "expr": expr }));
    let groups = json!({ "groups": [{ "name": "shown", "rules": rules.collect::<Vec<_>>() }] });
    let file = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
    std::fs::write(&file, groups.to_string()).unwrap();
    program("promtool", ["check".as_ref(), "rules".as_ref(), file.path().as_os_str()]).check(0, &["SUCCESS"]).await;
}

#[tokio::test]
async fn the_dashboard_asks_by_variables_that_it_has() {
    let text = read("deploy/grafana/wasq.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let variables: BTreeSet<_> = variables.map(|variable| variable["name"].as_str().unwrap()).collect();
    let used = text.split('$').skip(1).map(|rest| {
        let rest = rest.trim_start_matches('{');
        &rest[..rest.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap()]
    });
    for name in used.filter(|name| *name != "__rate_interval") {
        assert!(variables.contains(name), "the dashboard has no variable {name}");
    }
    let ids: Vec<_> = dashboard["panels"].as_array().unwrap().iter().map(|panel| panel["id"].to_string()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "two panels have the same id");
}

async fn alarms() -> Vec<Value> {
    yaml(RULES).await[0]["groups"][0]["rules"].as_array().unwrap().clone()
}

/// What a metric is matched and grouped by must be a label of its own, or one that Prometheus adds.
fn check(expression: &str) {
    let starts: Vec<_> = expression.match_indices("wasq_").map(|(at, _)| at).collect();
    assert!(!starts.is_empty(), "no metric in: {expression}");
    for at in starts {
        let (before, rest) = expression.split_at(at);
        let (name, rest) = rest.split_at(rest.find(|char| !word(char)).unwrap_or(rest.len()));
        let (metric, of_bucket) = defined(name).unwrap_or_else(|| panic!("there is no {name}, in: {expression}"));
        let matchers = rest.strip_prefix('{').map_or("", |matchers| matchers.split('}').next().unwrap());
        // What stands in quotes is a label's value.
        let matched = matchers.split('"').step_by(2).flat_map(words);
        let grouped = before.rsplit_once("by (").map_or("", |(_, labels)| labels.split(')').next().unwrap());
        for label in matched.chain(words(grouped)) {
            let known = metric.labels.contains(&label) || label == "job" || (label == "le" && of_bucket);
            assert!(known, "{name} has no label {label}, in: {expression}");
        }
    }
}

fn word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char| !word(char)).filter(|word| !word.is_empty())
}

/// The metric of a series' name, and whether the series is of a histogram's buckets.
fn defined(name: &str) -> Option<(&'static Metric, bool)> {
    ALL.iter().find_map(|metric| match (metric.kind, name.strip_prefix(metric.name)?) {
        (Kind::Counter | Kind::Gauge, "") | (Kind::Histogram(_), "_sum" | "_count") => Some((*metric, false)),
        (Kind::Histogram(_), "_bucket") => Some((*metric, true)),
        _ => None,
    })
}
