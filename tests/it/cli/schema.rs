//! `wasq schema`: what the schemas take, what they refuse, and what an editor makes of them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use wasq::cli::schema::SchemaOf;

use super::binary::{Wasq, program, wasq};
use super::new::make;
use crate::support::schema::faults;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[tokio::test]
async fn the_command_prints_the_schema() {
    for (name, of, title) in [("config", SchemaOf::Config, "wasq.toml"), ("plugin", SchemaOf::Plugin, "plugin.toml")] {
        let printed = wasq(["schema", name]).check(0, &[]).await.json();
        assert_eq!(printed, of.schema());
        assert_eq!((&printed["title"], &printed["type"]), (&title.into(), &"object".into()));
    }
    wasq(["schema", "queue"]).check(2, &["config", "plugin"]).await;
}

#[test]
fn every_manifest_and_config_of_the_repository_fits_its_schema() {
    let mut files = Vec::new();
    collect(&root(), &mut files);
    let mut count = 0;
    for path in files {
        let of = if path.ends_with("plugin.toml") { SchemaOf::Plugin } else { SchemaOf::Config };
        let found = faults(of, &std::fs::read_to_string(&path).unwrap());
        assert!(found.is_empty(), "{}: {found:?}", path.display());
        count += 1;
    }
    assert!(count >= 14, "only {count} were found");
    let text = std::fs::read_to_string(root().join("deploy/kubernetes/configmap.yaml")).unwrap();
    let config: String =
        text.split("wasq.toml: |\n").nth(1).unwrap().lines().map(|line| format!("{}\n", line.trim())).collect();
    assert_eq!(faults(SchemaOf::Config, &config), [""; 0], "{config}");
}

/// The manifests and configs in the repository's own directories.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
            collect(&path, files);
        } else if name == "plugin.toml" || name == "wasq.toml" {
            files.push(path);
        }
    }
}

#[test]
fn a_key_a_word_or_a_unit_that_there_is_not_is_refused() {
    let check = |of, text: &str, part: &str| {
        let found = faults(of, text);
        match part {
            "" => assert!(found.is_empty(), "{text}: {found:?}"),
            part => assert!(found.iter().any(|fault| fault.contains(part)), "{text}: {found:?}"),
        }
    };
    let config = |text: &str, part| check(SchemaOf::Config, &format!("{text}\n[queues.q]"), part);
    config("", "");
    config("drain = 3", "drain");
    config("drain_s = '20s'", "/drain_s");
    config("[admin]\nheader_timeout = '1 fortnight'", "/admin/header_timeout");
    config("[admin]\nheader_timeout = '1h 30m'", "");
    config("[admin]\nheader_timeout = 10", "/admin/header_timeout");
    config("[limits]\nmax_memory = '64 parsecs'", "/limits/max_memory");
    config("[limits]\nmax_memory = 65536", "");
    config("[ledger]\nstore = 'mysql'", "/ledger");
    config("[ledger]\nstore = 'redis'\ntable = 'x'", "/ledger");
    config("[ledger]\nstore = 'redis'\nprefix = 'x'", "");
    config("[queues.a]\nbroker = 'kafca'", "/queues/a/broker");
    config("[queues.a]\nbroker = '${BROKER:-kafka}'\nvisibility = '${VISIBILITY}'", "");
    config("[queues.a]\nconcurrency = 'auto'\n[queues.b.concurrency]\nmin = 2", "");
    config("[queues.a]\nconcurrency = 'all'", "/queues/a/concurrency");
    config("[pools]\nsmtp = 'many'", "/pools/smtp");
    config("[pools]\nsmtp = { size = 4, scope = 'fleet' }\ndb = 10", "");
    config("[rates.r]\nlimit = '10 a day'", "/rates/r/limit");
    config("[rates.r]\nburst = 3", "limit");
    config("[plugins.p]\ncanary = '110%'", "/plugins/p/canary");
    check(SchemaOf::Config, "scope = 'a'", "queues");

    let plugin = |text: &str, part| check(SchemaOf::Plugin, &format!("types = ['t']\n{text}"), part);
    plugin("name = 'a'", "");
    plugin("", "name");
    plugin("name = 'a'\ntimeuot = '1s'", "timeuot");
    plugin("name = 'a'\npriority = 'urgent'", "/priority");
    plugin("name = 'a'\n[retry]\nmax_attempts = 'five'", "/retry/max_attempts");
    plugin("name = 'a'\n[retry]\nattempts = 5", "attempts");
    // A manifest is read as it stands.
    plugin("name = 'a'\ntimeout = '${TIMEOUT}'", "/timeout");
}

#[test]
fn every_key_is_described_and_every_default_is_taken() {
    for of in [SchemaOf::Config, SchemaOf::Plugin] {
        let schema = of.schema();
        let mut defaults = 0;
        each_property(&schema, "", &mut |key, property| {
            let reference = property["$ref"].as_str().or_else(|| property["allOf"][0]["$ref"].as_str());
            let target = reference.and_then(|pointer| schema.pointer(pointer.trim_start_matches('#')));
            let described = [Some(property), target].into_iter().flatten().any(|one| one["description"].is_string());
            // What tells tables apart is described with each of them.
            let tells_apart = property["anyOf"][0].get("const").is_some();
            assert!(described || tells_apart, "{of:?}: `{key}` has no description: {property}");
            if let Some(default) = property.get("default") {
                let mut alone = property.clone();
                alone["definitions"] = schema["definitions"].clone();
                let validator = jsonschema::validator_for(&alone).unwrap();
                assert!(validator.is_valid(default), "{of:?}: {key} = {default} is not what it takes");
                defaults += 1;
            }
        });
        assert!(defaults >= 15, "{of:?} has only {defaults} defaults");
    }
}

/// Calls for each property of a schema and of all schemas in it.
fn each_property<'s>(schema: &'s Value, place: &str, call: &mut dyn FnMut(&str, &'s Value)) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                if let (true, Value::Object(properties)) = (key == "properties", value) {
                    for (name, property) in properties {
                        let place = format!("{place}.{name}");
                        call(&place, property);
                        each_property(property, &place, call);
                    }
                } else if key != "default" && key != "examples" {
                    each_property(value, place, call);
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|one| each_property(one, place, call)),
        _ => {}
    }
}

/// The checker of TOML files that editors have inside.
fn taplo(file: &Path) -> Wasq {
    let taplo = root().join("tests/clients/node_modules/.bin/taplo");
    assert!(taplo.exists(), "taplo is not set up: run `bash tests/clients/setup.sh` first");
    program(taplo, ["lint".as_ref(), file.file_name().unwrap()]).dir(file.parent().unwrap())
}

#[tokio::test]
async fn an_editor_finds_the_schema_of_a_new_project() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "hello-schema").await;
    let manifest = dir.path().join("hello-schema/plugin.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    taplo(&manifest).check(0, &[]).await;
    std::fs::write(&manifest, text.replace("timeout =", "timeuot =")).unwrap();
    taplo(&manifest).check(1, &["timeuot"]).await;
}

#[tokio::test]
async fn a_build_renews_the_schema_of_a_project_whose_manifest_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let project = |name: &str, first_line: &str| {
        let project = dir.path().join(name);
        std::fs::create_dir_all(project.join(".wasq")).unwrap();
        std::fs::write(project.join(".wasq/plugin.schema.json"), "of an older wasq").unwrap();
        let manifest = format!("{first_line}\nname = '{name}'\ntypes = ['t']\n[build]\ncommand = 'exit 1'\n");
        std::fs::write(project.join("plugin.toml"), manifest).unwrap();
        project.join(".wasq/plugin.schema.json")
    };
    let (named, unnamed) = (project("a", "#:schema ./.wasq/plugin.schema.json"), project("b", ""));
    // The builds themselves fail.
    wasq(["build"]).dir(&dir).check(1, &["the build in"]).await;
    assert_eq!(std::fs::read_to_string(named).unwrap(), SchemaOf::Plugin.text());
    assert_eq!(std::fs::read_to_string(unnamed).unwrap(), "of an older wasq");
}

#[tokio::test]
async fn an_editor_takes_the_schema_of_a_config() {
    let dir = tempfile::tempdir().unwrap();
    let schema = wasq(["schema", "config"]).check(0, &[]).await.out;
    std::fs::write(dir.path().join("wasq.schema.json"), schema).unwrap();
    let config = dir.path().join("wasq.toml");
    let text =
        "#:schema ./wasq.schema.json\n[queues.jobs]\nconcurrency = 64\nvisibility = '30s'\n[ledger]\nstore = 'redis'\n";
    std::fs::write(&config, text).unwrap();
    taplo(&config).check(0, &[]).await;
    std::fs::write(&config, text.replace("concurrency", "concurency")).unwrap();
    taplo(&config).check(1, &["concurency"]).await;
}
