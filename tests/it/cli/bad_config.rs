//! A bad config: what is said names the file, the line and the key.

use super::binary::wasq;
use super::place;

/// Both `run` and `check` must end with 1 and say all of this.
async fn check(config: &str, parts: &[&str]) {
    let dir = place(config);
    for command in ["run", "check"] {
        let ran = wasq([command]).dir(&dir).check(1, &["wasq.toml"]).await;
        for part in parts {
            assert!(ran.err.contains(part), "{config:?}: {part:?} is not in {}", ran.err);
        }
    }
}

#[tokio::test]
async fn it_names_file_line_and_key() {
    check("[queues.jobs]\nconcurency = 3\n", &["line 2", "concurency"]).await;
    check("drain = 3\n[queues.jobs]\n", &["line 1", "drain"]).await;
    check("[queues.jobs]\nvisibility = 60\n", &["line 2", "visibility"]).await;
    check("[queues.jobs\n", &["line 1"]).await;
    check("scope = 'x'\n", &["queues"]).await;
    check("[queues]\n", &["queues", "[queues.NAME]"]).await;
    check("[queues.jobs]\nwait = '30s'\n", &["queues.jobs.wait", "20 s"]).await;
    check("[queues.jobs]\nconcurrency = 0\n", &["queues.jobs.concurrency", "1 to 10000"]).await;
    check("[queues.jobs]\nvisibility = '13h'\n", &["queues.jobs.visibility", "12 h"]).await;
    check("[ledger]\nstore = 'stone'\n[queues.jobs]\n", &["line 2", "stone", "local"]).await;
}

#[tokio::test]
async fn a_missing_one_is_said_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["run", "check"] {
        wasq([command]).dir(&dir).check(1, &["wasq.toml", "--config"]).await;
        wasq([command, "--config", "other.toml"]).dir(&dir).check(1, &["other.toml"]).await;
    }
}

#[tokio::test]
async fn a_missing_plugin_directory_is_named() {
    let dir = place("plugins_dir = 'handlers'\n[queues.jobs]\n");
    for command in ["run", "check"] {
        wasq([command]).dir(&dir).check(1, &["plugins_dir", "handlers"]).await;
    }
}
