//! The documents, held against the code.

mod aws_events;
mod commands;
mod links;
mod reference;
mod semantics;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use wasq::cli::schema::SchemaOf;
use wasq::config::Config;
use wasq::plugins::manifest::Manifest;
use wasq::telemetry::metrics::{ALL, Kind};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The documents, with their texts.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<_> = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| root().join(name)).into();
    pages(&root().join("docs"), &mut paths);
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

fn pages(dir: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
}

/// A document by its file's name.
fn document(name: &str) -> String {
    let found = documents().into_iter().find(|(path, _)| path.ends_with(name));
    found.unwrap_or_else(|| panic!("there is no document {name}")).1
}

#[test]
fn every_invariant_has_a_test_of_its_name() {
    let functions = functions();
    let text = document("ARCHITECTURE.md");
    let invariants: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("- *Invariant*: "))
        .map(|line| line.replace(' ', "_"))
        .collect();
    assert!(invariants.len() >= 10, "the list of invariants in ARCHITECTURE.md was not found");
    let missing: Vec<_> = invariants.iter().filter(|name| !functions.contains(*name)).collect();
    assert!(missing.is_empty(), "these invariants have no test of their name: {missing:?}");
}

#[test]
fn one_command_passes_the_tests_and_ci_runs_that_very_one() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let readme = read("README.md");
    let of_cargo: Vec<_> = readme.lines().filter(|line| line.starts_with("cargo ") && line.contains("test")).collect();
    assert_eq!(of_cargo[0], "cargo xtask test");
    assert!(!readme.contains("setup.sh"), "what sets up the tests stands behind their command");
    assert!(read(".ci/run").lines().any(|line| line.starts_with("cargo xtask test ")));
}

#[test]
fn every_config_and_every_manifest_in_the_documents_is_one() {
    let mut blocks = 0;
    for (path, text) in documents() {
        for block in text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            blocks += 1;
            let (of, whole) = match (block.starts_with("# plugin.toml"), block.contains("types = [")) {
                (false, false) => (SchemaOf::Config, format!("{block}\n[queues.a]")),
                (_, true) => (SchemaOf::Plugin, block.to_owned()),
                (true, false) => (SchemaOf::Plugin, format!("name = 'a'\ntypes = ['a']\n{block}")),
            };
            let read = match of {
                SchemaOf::Config => Config::parse(&whole, &path).map(drop).map_err(|error| error.to_string()),
                SchemaOf::Plugin => Manifest::parse(&whole).map(drop).map_err(|error| error.to_string()),
            };
            assert!(read.is_ok(), "{}: {block}: {read:?}", path.display());
            let faults = crate::support::schema::faults(of, &whole);
            assert!(faults.is_empty(), "{}: {block}: {faults:?}", path.display());
        }
    }
    assert!(blocks >= 15, "only {blocks} were found");
}

#[test]
fn the_telemetry_document_has_every_metric_as_it_is_defined() {
    let text = document("telemetry.md");
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `wasq_")).collect();
    let expect = ALL.iter().map(|metric| {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let otlp = metric.convention.map_or_else(String::new, |(name, _)| format!(" (OTLP: `{name}`)"));
        let help = metric.help.trim_end_matches('.');
        format!("| `{}`{otlp} | {kind} | {} | {help} |", metric.name, metric.labels.join(", "))
    });
    let expect: Vec<_> = expect.collect();
    assert_eq!(rows, expect, "the table should be:\n{}", expect.join("\n"));
}

#[test]
fn the_config_in_the_dashboard_document_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join("docs/operate/dashboard.md")).unwrap();
    let block = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = Config::parse(&format!("{block}\n[queues.a]"), Path::new("dashboard.md")).unwrap();
    assert_eq!((config.admin.actions, config.admin.token_file.is_some()), (Some(true), true));
}

#[test]
fn every_threat_has_a_test_that_shows_what_stops_it() {
    let text = document("security.md");
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(rows.len() >= 20, "the table of threats in docs/operate/security.md was not found");
    let functions = functions();
    for row in rows {
        let shown_by = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
        names_tests(shown_by, row, &functions);
    }
}

#[test]
fn every_fault_on_each_broker_has_tests_that_are_there() {
    let text = document("internals/testing.md");
    let table = text.split("### Each fault on each broker").nth(1).expect("the heading is there");
    let table = table.split("\n#").next().expect("a split has a first part");
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(rows.len() >= 20, "the table of faults in docs/internals/testing.md was not found");
    let functions = functions();
    for row in rows {
        let (_, shown_by) = row[2..].split_once('|').expect("a row has columns");
        names_tests(shown_by, row, &functions);
    }
}

/// Each name in backticks is a test's, and there is one.
fn names_tests(shown_by: &str, row: &str, functions: &BTreeSet<String>) {
    let mut tests = shown_by.split('`').skip(1).step_by(2).peekable();
    assert!(tests.peek().is_some(), "no test is named in: {row}");
    for test in tests {
        assert!(functions.contains(test), "there is no test `{test}`, named in: {row}");
    }
}

/// The names of all functions.
fn functions() -> BTreeSet<String> {
    let mut functions = BTreeSet::new();
    for dir in ["core/src", "queues/src", "ledgers/src", "local-sqs/src", "host/src", "sdk", "tests/it"] {
        collect(&root().join(dir), &mut functions);
    }
    functions
}

/// The names of all functions in the Rust files under `dir`.
fn collect(dir: &PathBuf, functions: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, functions);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            functions.extend(names.map(str::to_owned));
        }
    }
}
