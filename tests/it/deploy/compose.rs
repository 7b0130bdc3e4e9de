//! compose.yaml: read by docker-compose itself, and held against what it mounts.

use std::path::Path;

use serde_json::{Value, json};
use wasq::config::Config;

use super::{path, read, yaml};
use crate::cli::binary::{program, wasq};

#[tokio::test]
async fn docker_compose_takes_it_with_either_queue() {
    for profile in ["local", "elasticmq"] {
        let file = path("compose.yaml");
        program("docker-compose", ["--file", &file, "--profile", profile, "config", "--quiet"]).check(0, &[]).await;
    }
}

#[tokio::test]
async fn each_profile_has_one_queue_where_the_config_looks_for_it() {
    let services = services().await;
    let config = Config::parse(&read("deploy/compose/wasq.toml"), Path::new("wasq.toml")).unwrap();
    assert_eq!(config.aws.endpoint_url.as_deref(), Some("http://queue:9324"));
    for profile in ["local", "elasticmq"] {
        let queues = services.values().filter(|service| service["profiles"] == json!([profile]));
        let aliases: Vec<_> = queues.map(|queue| queue["networks"]["default"]["aliases"].clone()).collect();
        assert_eq!(aliases, [json!(["queue"])], "{profile}");
    }
    let elasticmq = read("deploy/compose/elasticmq.conf");
    for (name, queue) in &config.queues {
        for name in [name, queue.dlq.as_ref().unwrap()] {
            assert!(elasticmq.contains(&format!("  {name} {{")), "elasticmq.conf has no {name}");
        }
    }
    let scraped = yaml("deploy/prometheus/prometheus.yml").await[0]["scrape_configs"][0]["static_configs"].take();
    assert_eq!(scraped[0]["targets"], json!([format!("wasq:{}", config.admin.listen.port())]));
    assert!(services.contains_key("wasq") && config.admin.listen.ip().is_unspecified());
}

#[tokio::test]
async fn the_local_queues_command_runs() {
    let dir = tempfile::tempdir().unwrap();
    let command = services().await["local-queue"]["command"].take();
    let command: Vec<String> = serde_json::from_value(command).unwrap();
    let place = |word: &String| word.replace(":9324", ":0").replace("/var/lib/wasq", dir.path().to_str().unwrap());
    let queue = wasq(command.iter().map(place)).spawn();
    queue.line("local queue http://").await;
    queue.kill().await;
}

#[tokio::test]
async fn what_is_mounted_is_there_and_the_hosts_are_held_tight() {
    let services = services().await;
    for (name, service) in &services {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            let file = from.strip_prefix("./").map(|file| Path::new(&path("")).join(file));
            assert!(file.is_none_or(|file| file.exists()), "{name} mounts {from}, which is not there");
        }
    }
    for name in ["wasq", "local-queue"] {
        let service = &services[name];
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]), "{name}");
        assert!(service["mem_limit"].is_string(), "{name}");
    }
}

async fn services() -> serde_json::Map<String, Value> {
    yaml("compose.yaml").await[0]["services"].as_object().unwrap().clone()
}
