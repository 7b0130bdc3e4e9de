//! Every command that the documents show is run, or is excused with a reason.
//!
//! A document is read from its beginning to its end, in one directory and with the variables that
//! its commands set, as somebody would who follows it. Of a `console` block the lines after a
//! command are what it prints, where `…` stands for anything; a `text` block is what the host in
//! the other shell has logged.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::{documents, root};
use crate::cli::binary::{Running, Wasq, client, program, wasq};
use crate::support::{Plugin, Rig, Setup, until};

/// What is not run: the document, what the command begins with, and why.
const EXCUSED: &[(&str, &str, &str)] = &[
    ("README.md", "cargo run --release", "a release build takes ten minutes; `cli::demo` and `bench` run the same"),
    ("README.md", "cargo xtask test", "it is these tests"),
    ("rabbitmq.md", "docker ", "it needs Docker; `rabbitmq` runs real servers"),
    ("rabbitmq.md", "wasq ", "it needs a RabbitMQ server; `rabbitmq::host` runs the commands with one"),
    ("redis.md", "docker ", "it needs Docker; `redis_streams` runs real servers"),
    ("redis.md", "wasq ", "it needs a Redis server; `redis_streams::host` runs the commands with one"),
    ("kafka.md", "apt-get ", "it installs packages; the tests' set-up does the same"),
    ("kafka.md", "cargo install --path host ", "a release build; the tests are built with the feature"),
    ("kafka.md", "docker ", "it needs Docker; `kafka` runs other servers of the protocol"),
    ("kafka.md", "wasq ", "it needs a Kafka; `kafka::host` runs the commands with a test cluster"),
    ("install.md", "wasq ", "`cli::version` and `cli::schema` run it"),
    ("README.md", "cargo install --path host ", "a release build; the tests' own binary stands for it"),
    ("quick-start.md", "cargo install --path host", "a release build; the tests' own binary stands for it"),
    ("egress.md", "cargo install --path host ", "a release build; the tests are built with the feature"),
    ("performance.md", "cargo run --profile dist -p wasq-bench", "minutes of measuring; `bench` runs it short"),
    ("performance.md", "RUSTFLAGS=", "a release build"),
    ("pressure.md", "wasq-tests pressure ", "minutes of measuring; `flow::limits` and `flow::fairness` hold the same"),
    ("pressure.md", "bench/curves/pressure.py", "it draws what was measured"),
    ("pressure.md", "curl ", "`flow::held_back` asks `/scale` by itself"),
    ("profiling.md", "wasq profile ", "`profile` runs it with this plugin, which must have work meanwhile"),
    ("performance.md", "perf record ", "minutes of measuring, and perf needs a kernel that lets it"),
    ("performance.md", "perf script ", "it draws what was recorded"),
    ("performance-curves.md", "cargo build --profile dist", "a release build"),
    ("performance-curves.md", "bench/curves/measure.py", "minutes of measuring; `bench` runs what it runs"),
    ("performance-curves.md", "bench/curves/plot.py", "it draws what was measured"),
    ("building.md", "cargo build --release --timings", "a release build"),
    ("testing.md", "cargo build --workspace --bins --bench steps", "CI runs it, and its renewal is a decision"),
    ("security.md", "cargo run --bin wasq-tests -- fuzz", "a minute of fuzzing; `fuzz` runs it short"),
    ("security.md", "cargo deny check advisories", "it fetches a database from elsewhere"),
    ("security.md", "cargo audit", "it fetches a database from elsewhere"),
    ("security.md", "cargo install cargo-fuzz", "a release build"),
    ("security.md", "cargo fuzz run", "minutes of fuzzing; `fuzz` runs the targets short"),
    ("testing.md", "cargo test --test it simulator", "it is one of these tests"),
    ("testing.md", "cargo run", "hours of simulating, or minutes of measuring; `simulator` and `hostile` run it short"),
    ("testing.md", "cargo build --release --bins", "a release build"),
    ("testing.md", "target/release/wasq-tests crash", "it is of the release build; `crash` runs it short"),
    ("aws-events.md", "wasq decode ", "`docs::aws_events` runs it with each example"),
    ("container.md", "docker ", "it needs Docker; `container` runs the image's way under runc"),
    ("container.md", "wasq send greeting ", "`container` runs it, with its queue and its config"),
    ("container.md", "kubectl apply ", "it needs a cluster; linters hold the manifests"),
    ("pressure.md", "wasq limits", "`flow::limits` runs it, where there are some"),
    ("testing.md", "wasq demo --keep", "`cli::demo` runs the demo"),
    ("testing.md", "node tests/clients/browser.mjs ", "`dashboard::browser` runs it; these are its pictures"),
    ("aws.md", "docker ", "it needs Docker"),
    ("typescript.md", "wasq ", "`languages::projects` makes, builds and runs such a project"),
    ("typescript.md", "npm ", "it installs packages; `languages::projects` runs the tests with those of the set-up"),
    ("python.md", "wasq ", "`languages::projects` makes, builds and runs such a project"),
    ("python.md", "python3 -m venv ", "it installs packages; the tests' set-up does the same"),
    ("python.md", ".venv/bin/python ", "`languages::projects` runs the tests with the set-up's Python"),
    ("other-languages.md", "wasq wit ", "`cli::pack` runs it"),
    ("helm.md", "helm ", "it needs a cluster; `deploy::helm` renders the chart with Helm's own engine"),
    ("terraform.md", "terraform ", "it needs AWS and its provider; `deploy::terraform` says what is held instead"),
    ("registries.md", "wasq ", "it needs a registry; `oci` runs the commands with one"),
    ("registries.md", "docker login ", "it logs in to a registry"),
    ("aws.md", "aws ecr get-login-password", "it logs in to Docker"),
];

/// What ends with 1, as its page says: the document, and what the command begins with.
const FAILING: &[(&str, &str)] = &[
    ("handlers.md", r#"wasq invoke .wasq/plugins/hello.wasm --body '{"name":""}'"#),
    ("dead-letters.md", "wasq dlq replay --fingerprint cd8a7346 --canary"),
];

/// moto makes a stack's outputs only when it is made, or changed, without a change set.
const MAKE_OUTPUTS: &str = "
for name in Service Image Vpc Subnets PluginsBucket QueueConfig MoreConfig; do echo ParameterKey=$name,UsePreviousValue=true; done |
xargs aws --endpoint-url $AWS_ENDPOINT_URL cloudformation update-stack --stack-name shop --use-previous-template \\
  --capabilities CAPABILITY_IAM --parameters";

/// A command as a document shows it.
struct Command {
    text: String,
    /// What it prints, where the document says so.
    prints: Vec<String>,
    /// What the host in the other shell has logged by then.
    logged: Vec<String>,
}

fn commands(document: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    let mut lines = document.lines();
    while let Some(fence) = lines.next() {
        let Some(kind) = fence.trim_start().strip_prefix("```") else { continue };
        let indent = fence.len() - fence.trim_start().len();
        let block: Vec<_> =
            lines.by_ref().map(|line| line.get(indent..).unwrap_or("")).take_while(|line| *line != "```").collect();
        match kind {
            "sh" => {
                let whole = block.join("\n").replace("\\\n", "\\\u{0}");
                let shown =
                    whole.lines().map(|line| line.replace('\u{0}', "\n")).filter(|line| !line.trim().is_empty());
                commands.extend(shown.map(|text| Command { text, prints: Vec::new(), logged: Vec::new() }));
            }
            "console" => {
                for line in block {
                    match (line.strip_prefix("$ "), commands.last_mut()) {
                        (Some(text), _) => {
                            commands.push(Command { text: text.to_owned(), prints: Vec::new(), logged: Vec::new() });
                        }
                        (None, Some(command)) => command.prints.push(line.to_owned()),
                        (None, None) => panic!("{line:?} is printed by nothing"),
                    }
                }
            }
            "text" => {
                if let Some(command) = commands.last_mut() {
                    command.logged.extend(block.iter().map(|line| (*line).to_owned()));
                }
            }
            "bash" | "shell" | "zsh" | "shell-session" => {
                panic!("a block of commands is `sh` or `console`, not `{kind}`")
            }
            _ => {}
        }
    }
    commands
}

fn excuse(document: &str, command: &Command) -> Option<&'static str> {
    let fits = |(of, begins, _): &&(&str, &'static str, &str)| *of == document && command.text.starts_with(begins);
    EXCUSED.iter().find(fits).map(|(_, begins, _)| *begins)
}

/// The documents whose commands the tests below run.
const FOLLOWED: [&str; 7] =
    ["README.md", "quick-start.md", "handlers.md", "dead-letters.md", "ledger-dynamodb.md", "aws.md", "dashboard.md"];

#[test]
fn every_command_of_the_documents_is_run_or_excused() {
    let mut used = BTreeSet::new();
    for (path, text) in documents() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let commands = commands(&text);
        let run = commands.iter().filter(|command| match excuse(&name, command) {
            Some(begins) => {
                used.insert((name.clone(), begins));
                false
            }
            None => true,
        });
        let run: Vec<_> = run.map(|command| command.text.as_str()).collect();
        assert_eq!(
            run.is_empty(),
            !FOLLOWED.contains(&name.as_str()),
            "{name}: its commands are run by a test of their own, or each is excused with a reason: {run:#?}"
        );
    }
    let unused: Vec<_> =
        EXCUSED.iter().filter(|(of, begins, _)| !used.contains(&((*of).to_owned(), *begins))).collect();
    assert!(unused.is_empty(), "nothing is excused by these: {unused:?}");
}

/// Somebody who follows a document.
struct Reader {
    dir: TempDir,
    /// What stands in the document, and what is here in its place.
    here: Vec<(String, String)>,
    environment: Vec<(&'static str, String)>,
    dev: Option<Running>,
    rebuilt: usize,
}

impl Reader {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("work")).unwrap();
        std::fs::write(dir.path().join("directory"), dir.path().join("work").to_str().unwrap()).unwrap();
        std::fs::write(dir.path().join("variables"), "").unwrap();
        let aws =
            [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_DEFAULT_REGION", "us-east-1")];
        let environment = aws.map(|(name, value)| (name, value.to_owned())).into();
        Self { dir, here: Vec::new(), environment, dev: None, rebuilt: 0 }
    }

    /// With handlers of this name in the place of `hello`: all tests build theirs in one target
    /// directory.
    fn called(mut self, name: &str) -> Self {
        self.here.push(("hello".into(), name.into()));
        self
    }

    fn directory(&self) -> PathBuf {
        std::fs::read_to_string(self.dir.path().join("directory")).unwrap().trim().into()
    }

    async fn follow(&mut self, document: &str) {
        for command in commands(&super::document(document)) {
            if excuse(document, &command).is_none() {
                self.run(document, &command).await;
            }
        }
        if let Some(dev) = self.dev.take() {
            dev.kill().await;
        }
    }

    async fn run(&mut self, document: &str, command: &Command) {
        let text = self.translated(&command.text);
        if text.starts_with("wasq dev") {
            self.start_dev().await;
        } else {
            let fails = FAILING.iter().any(|(of, begins)| *of == document && command.text.starts_with(begins));
            self.type_in(&format!("{document}: `{text}`"), &text, &command.prints, i32::from(fails)).await;
        }
        for line in &command.logged {
            let line = self.translated(line);
            let longest = line.split('…').map(str::trim).max_by_key(|part| part.len()).unwrap();
            let logged = self.dev.as_ref().expect("a host runs in the other shell").line(longest).await;
            assert!(is_like(&line, &logged), "{document}: the host logs {logged:?}, and not {line:?}");
        }
    }

    fn translated(&self, text: &str) -> String {
        self.here.iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here))
    }

    /// `wasq dev` in a shell of its own, on ports that are free.
    async fn start_dev(&mut self) {
        let mut dev = wasq(["dev", "--sqs-port", "0", "--admin-port", "0"]).dir(self.directory()).compiles().spawn();
        let ports = dev.line_after_build("local queue http://", 1).await;
        let words: Vec<_> =
            ports.split_whitespace().map(|word| word.trim_start_matches("http://").to_owned()).collect();
        dev.line("watching").await;
        let [_, _, sqs, _, admin] = &words[..] else { panic!("it does not say its ports: {ports}") };
        self.here.push(("127.0.0.1:9324".into(), sqs.clone()));
        self.environment.push(("WASQ_ENDPOINT_URL", format!("http://{sqs}")));
        self.environment.push(("WASQ_ADMIN", admin.clone()));
        self.dev = Some(dev);
    }

    async fn type_in(&mut self, place: &str, text: &str, prints: &[String], code: i32) {
        // What only looks is looked at until it shows what it should.
        let looks =
            ["wasq dlq groups", "wasq dlq ls", "wasq status", "aws logs"].iter().any(|look| text.starts_with(look));
        let before = self.directory();
        until(&format!("{place} prints what it should"), || async {
            let ran = self.shell(text).run().await;
            let said = format!("{place}: {ran:#?}");
            let misses =
                prints.iter().find(|line| !ran.out.lines().any(|printed| is_like(&self.translated(line), printed)));
            match misses {
                None => assert!(ran.code == Some(code), "{said}"),
                Some(line) => assert!(looks, "{said}\ndoes not print {line:?}"),
            }
            misses.is_none()
        })
        .await;
        if let Some(rest) = text.strip_prefix("wasq new ") {
            // The repository's own, so that cargo fetches nothing new.
            let project = before.join(rest.split_whitespace().next().unwrap());
            std::fs::copy(root().join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
        }
        if let (true, Some(dev)) = (text.starts_with("sed -i"), &mut self.dev) {
            self.rebuilt += 1;
            dev.line_after_build("rebuilt ", self.rebuilt).await;
        }
    }

    /// A shell that goes on where the last one ended.
    fn shell(&self, text: &str) -> Wasq {
        let state = self.dir.path().display();
        let more = if text.starts_with("aws cloudformation deploy") { MAKE_OUTPUTS } else { "" };
        // Version 1 of the CLI does not ask AWS_ENDPOINT_URL where SQS is.
        let script = format!(
            "aws() {{ command aws ${{AWS_ENDPOINT_URL:+--endpoint-url $AWS_ENDPOINT_URL}} \"$@\"; }}\n\
             set -a; source {state}/variables; cd \"$(cat {state}/directory)\"\n{text}{more}\n\
             pwd >{state}/directory; export -p >{state}/variables"
        );
        let binaries = Path::new(env!("CARGO_BIN_EXE_wasq")).parent().unwrap();
        let clients = root().join("tests/clients/.venv/bin");
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{}:{path}", binaries.display(), clients.display());
        let shell = program("bash", ["-euo", "pipefail", "-c", &script]).compiles().env("PATH", path);
        self.environment.iter().fold(shell, |shell, (name, value)| shell.env(name, value))
    }
}

/// Whether a printed line is like the document's, where `…` stands for anything, and blanks for any
/// blanks.
fn is_like(pattern: &str, line: &str) -> bool {
    let blanks = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = blanks(line);
    let mut rest = line.as_str();
    pattern.split('…').map(blanks).all(|part| match rest.find(&part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_can_be_followed() {
    Reader::new().called("hello-readme").follow("README.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quick_start_can_be_followed() {
    Reader::new().called("hello-quick").follow("quick-start.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_handlers_can_be_followed() {
    Reader::new().called("hello-page").follow("handlers.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_for_aws_can_be_followed() {
    let server = client("moto_server", ["--port", "0"]).spawn();
    let line = server.line("Running on http://").await;
    let endpoint = line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
    for document in ["ledger-dynamodb.md", "aws.md"] {
        let mut reader = Reader::new();
        reader.environment.push(("AWS_ENDPOINT_URL", endpoint.clone()));
        let work = reader.directory();
        std::os::unix::fs::symlink(root().join("deploy"), work.join("deploy")).unwrap();
        std::fs::create_dir_all(work.join(".wasq/plugins")).unwrap();
        std::fs::copy(wasq_tests::guest("probe"), work.join(".wasq/plugins/hello.wasm")).unwrap();
        reader.follow(document).await;
    }
}

/// The page shows letters of the demo: here are letters of the same handlers, with ids and
/// fingerprints of their own.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_dead_letters_can_be_followed() {
    let plugins = ["make-receipt", "make-thumbnails"].map(Plugin::shop);
    let rig = plugins.into_iter().fold(Setup::new(), Setup::plugin).start().await;
    for order in ["a", "b", "c"] {
        rig.message(json!({ "order_id": order, "items": "x" })).kind("order_completed").send().await;
    }
    rig.message(json!({ "image_id": 7 })).kind("image_uploaded").send().await;
    until("the DLQ has a letter of each", || async { rig.counts("jobs-dlq").await.0 == 4 }).await;
    let mut reader = Reader::new();
    reader.environment.push(("WASQ_ENDPOINT_URL", rig.sqs.endpoint_url()));
    reader.environment.push(("WASQ_ADMIN", rig.admin_addr().unwrap().to_string()));
    reader.here = substitutes(&reader).await;
    for mut command in commands(&super::document("dead-letters.md")) {
        command.prints.clear();
        reader.run("dead-letters.md", &command).await;
    }
    until_gone(&rig).await;
}

/// The page pauses the queue of a shop's orders: here it has another name.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_the_dashboard_can_be_followed() {
    let rig = Setup::new().plugin(Plugin::shop("make-receipt")).start().await;
    let mut reader = Reader::new();
    reader.environment.push(("WASQ_ADMIN", rig.admin_addr().unwrap().to_string()));
    reader.here = vec![("--queue orders".into(), "--queue jobs".into())];
    reader.follow("dashboard.md").await;
    let pauses = rig.admin("/pauses").await;
    let targets: Vec<_> = pauses["pauses"].as_array().unwrap().iter().map(|pause| pause["target"].clone()).collect();
    assert_eq!(targets, ["queue:jobs"], "the type was resumed: {pauses}");
    rig.end().await;
}

/// The ids that the page names, and those of the letters that are here.
async fn substitutes(reader: &Reader) -> Vec<(String, String)> {
    let groups = reader.shell("wasq dlq groups --json").check(0, &[]).await.json();
    let of = |kind: &str, pointer: &str| {
        let group = groups.as_array().unwrap().iter().find(|group| group["type"] == kind);
        let group = group.unwrap_or_else(|| panic!("no letter of {kind}: {groups}"));
        group.pointer(pointer).unwrap().as_str().unwrap().to_owned()
    };
    vec![
        ("cd8a7346".into(), of("order_completed", "/fingerprint")),
        ("babf2f8d".into(), of("image_uploaded", "/example/id")),
    ]
}

/// The page ends with the orders' letters exported and discarded.
async fn until_gone(rig: &Rig) {
    until("the orders' letters are gone", || async { rig.counts("jobs-dlq").await.0 <= 1 }).await;
}
