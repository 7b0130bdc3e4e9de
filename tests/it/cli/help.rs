//! Every command explains itself, and misuse is told from failure.

use super::binary::wasq;

#[tokio::test]
async fn every_command_says_what_it_does_and_takes() {
    let commands: [(&[&str], &[&str]); 37] = [
        (&[], &["First steps", "wasq demo", "Exit codes", "SQS"]),
        (&["demo"], &["--orders", "--keep", "exactly as often as it should"]),
        (&["dev"], &["[DIR]", "--sqs-port", "9324", "--admin-port", "aws sqs send-message"]),
        (&["local-queue"], &["[NAME]", "--listen", "127.0.0.1:9324", "--data", "--waits", "no signature"]),
        (&["run"], &["--config", "wasq.toml", "SIGTERM", "[queues."]),
        (&["new"], &["<NAME>", "--lang", "--template", "--sdk", "cargo test", "npm install", "wasq build"]),
        (&["build"], &["[DIR]", "--out", "plugin.toml", "package.json", "pyproject.toml"]),
        (&["pack"], &["<plugin.toml>", "<FILE.wasm>", "--out"]),
        (&["wit"], &["--out", "worker-http", "message-handler"]),
        (&["check"], &["--config", "--live", "redrive policy"]),
        (
            &["invoke"],
            &[
                "<FILE.wasm>",
                "--body",
                "--type",
                "--var",
                "--json",
                "--envelope",
                "--config",
                "--queue",
                "--profile",
                "without a queue",
            ],
        ),
        (
            &["decode"],
            &["--body", "--attribute", "--envelope", "--config", "--queue", "--json", "Nothing is run", "Example"],
        ),
        (&["send"], &["<TYPE>", "[BODY]", "--file", "--key", "--attribute", "--queue", "--endpoint-url"]),
        (&["status"], &["--admin", "--watch", "--every", "--json", "ready"]),
        (&["top"], &["--admin", "--by", "egress", "--every", "--once", "--keys", "--json", "the host itself"]),
        (&["pause"], &["[TYPE]", "--queue", "--until", "--admin", "--config", "--by", "--json", "Examples"]),
        (&["resume"], &["[TYPE]", "--queue", "--admin", "--config", "--by", "--json"]),
        (&["groups"], &["ls", "show", "90 days"]),
        (&["limits"], &["--admin", "--json", "whole fleet"]),
        (&["groups", "ls"], &["--limit", "--after", "--admin", "--json"]),
        (&["groups", "show"], &["<ID>", "--state", "dead-lettered", "--limit", "--admin", "--json", "no bodies"]),
        (&["health"], &["--config", "--admin", "--ready", "--timeout", "HEALTHCHECK"]),
        (&["plugins"], &["--admin", "--json", "could not be loaded"]),
        (&["push"], &["<FILE|DIR>", "<REFERENCE>", "--plain-http", "docker login", "minisign"]),
        (&["pull"], &["<REFERENCE>", "--out", "--plain-http", "docker login"]),
        (
            &["profile"],
            &["<PLUGIN>", "--for", "--out", "--format", "--admin", "--json", "flame graph", "profiler.firefox.com"],
        ),
        (&["dlq"], &["ls", "show", "groups", "replay", "edit", "discard", "export", "hide", "Examples"]),
        (&["dlq", "ls"], &["--limit", "--type", "--class", "--plugin", "--reason", "--older-than", "--json"]),
        (&["dlq", "show"], &["<ID>", "envelope", "--json"]),
        (&["dlq", "groups"], &["fingerprint", "--newer-than", "--json"]),
        (
            &["dlq", "replay"],
            &["[ID]", "--all", "--dry-run", "--rate", "--canary", "--max-failures", "--again", "--to"],
        ),
        (&["dlq", "edit"], &["<ID>", "$EDITOR", "--body", "--again"]),
        (&["dlq", "discard"], &["[ID]", "--all", "--yes", "--dry-run", "wasq dlq export"]),
        (&["dlq", "export"], &["--output", "base64", "JSON lines", "--fingerprint"]),
        (&["completions"], &["bash", "zsh", "fish"]),
        (&["man-pages"], &["<DIR>", "man/man1"]),
        (&["schema"], &["config", "plugin", "#:schema ./wasq.schema.json", "wasq check"]),
    ];
    for (command, parts) in commands {
        let arguments: Vec<_> = command.iter().chain(&["--help"]).collect();
        let ran = wasq(arguments).check(0, &["Usage"]).await;
        // Lines are broken where the terminal ends.
        let text = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in parts {
            assert!(text.contains(part), "{command:?} does not mention {part:?}:\n{}", ran.out);
        }
    }
}

#[tokio::test]
async fn misuse_ends_with_2_and_says_what_is_wrong() {
    let misuses: [(&[&str], &str); 20] = [
        (&["sned"], "'send'"),
        (&[], "Usage"),
        (&["run", "--confg", "x"], "--config"),
        (&["new"], "<NAME>"),
        (&["send", "greeting"], "BODY"),
        (&["send", "greeting", "{}", "--delay", "soon"], "--delay"),
        (&["invoke", "x.wasm", "--var", "novalue"], "NAME=VALUE"),
        (&["dlq", "replay"], "--all"),
        (&["dlq", "replay", "some-id", "--class", "retry"], "--class"),
        (&["dlq", "replay", "--all", "--rate", "0"], "50/s"),
        (&["dlq", "replay", "--all", "--max-failures", "10%"], "0.1"),
        (&["dlq", "discard"], "--all"),
        (&["groups"], "Usage"),
        (&["groups", "show"], "<ID>"),
        (&["groups", "show", "probe/x", "--state", "gone"], "dead-lettered"),
        (&["groups", "ls", "--limit", "0"], "1..=500"),
        (&["profile"], "<PLUGIN>"),
        (&["profile", "probe", "--format", "png"], "firefox"),
        (&["push", "x.wasm", "registry.example/a:1"], "oci://REGISTRY/REPOSITORY:TAG"),
        (&["completions", "cobol"], "cobol"),
    ];
    for (arguments, part) in misuses {
        wasq(arguments).check(2, &[part]).await;
    }
}
