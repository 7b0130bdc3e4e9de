//! The guard: instructions and allocations of each step of a message's way, counted by valgrind and
//! compared with the committed figures. They are the same on a slow and on a fast machine, so that
//! a change that makes a message dearer is seen in its own run.
//!
//! A step is done for two numbers of messages, each in a process of its own: the difference is what
//! the messages cost, without the start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::steps::{BODY_BYTES, HANDLER, Step, Steps};

/// How much more a step may take than its figure says; and how much less, before the figure is out
/// of date.
const TOLERANCE_PERCENT: f64 = 5.0;
/// What a step may always differ by: a hash map's seed or a lock moves some, and in the shortest
/// steps that is much.
const SLACK_INSTRUCTIONS: f64 = 150.0;
const SLACK_ALLOCATIONS: f64 = 0.3;
/// Messages of the two runs. The first is long enough that everything has been made once. The
/// second has 500 more, of which the local ledger moves none from its log yet.
const SHORT: u64 = 200;
const LONG: u64 = 700;
/// How the figures are renewed.
const RENEW: &str = "cargo build --workspace --bins --bench steps && target/debug/wasq-tests guard --renew";

/// Count what each step of a message's way costs, and compare it with tests/guard.json.
///
/// Exits with 1 if a step takes 5 % more than its figure, or as much less: then the figure is out
/// of date. Needs valgrind.
#[derive(clap::Args)]
pub struct Guard {
    /// Write what was counted into tests/guard.json.
    #[arg(long)]
    renew: bool,
}

/// Do one step for so many messages: what the guard runs under valgrind.
#[derive(clap::Args)]
pub struct GuardPart {
    step: Step,
    messages: u64,
    /// Where the handler's compiled code is, or is put.
    compiled: PathBuf,
}

/// What a message costs in one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub instructions: f64,
    pub allocations: f64,
}

/// By step.
pub type Costs = BTreeMap<String, Cost>;

impl GuardPart {
    pub fn run(self) -> ExitCode {
        fastrand::seed(1);
        // As the host logs, and nobody reads it.
        tracing_subscriber::fmt().with_env_filter("info").with_writer(std::io::sink).init();
        Steps::new(&crate::plugin(HANDLER), BODY_BYTES, Some(&self.compiled)).perform(self.step, self.messages);
        ExitCode::SUCCESS
    }
}

impl Guard {
    /// # Errors
    /// When it cannot be counted, or there are no figures.
    pub fn run(self) -> Result<ExitCode> {
        let found = count_all(&std::env::current_exe()?)?;
        let path = figures_path();
        if self.renew {
            let text = serde_json::to_string_pretty(&found)? + "\n";
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            print!("{}", in_a_table(&found, None));
            return Ok(ExitCode::SUCCESS);
        }
        let expected = figures()?;
        print!("{}", in_a_table(&found, Some(&expected)));
        let complaints = compare(&found, &expected);
        complaints.iter().for_each(|complaint| println!("{complaint}"));
        Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Counts every step with this binary, as many at once as there are cores.
///
/// # Errors
/// When valgrind is missing or a run fails.
pub fn count_all(binary: &Path) -> Result<Costs> {
    let compiled = tempfile::tempdir()?;
    let part = Part { binary, compiled: compiled.path() };
    // Machine code fits the processor that valgrind shows, so it is made there; once, since it
    // takes longer than all the rest.
    part.run(&["--tool=none", "--trace-children=yes"], Step::Decode, 0)?;
    let waiting = Mutex::new(Step::value_variants().to_vec());
    let costs = Mutex::new(Ok(Costs::new()));
    let next = || waiting.lock().expect("no one panics with it").pop();
    let work = || {
        while let Some(step) = next() {
            let cost = count(&part, step);
            let mut costs = costs.lock().expect("no one panics with it");
            match (cost, costs.as_mut()) {
                (Ok(cost), Ok(costs)) => drop(costs.insert(step.name(), cost)),
                (Err(error), _) => *costs = Err(error.context(format!("counting `{}`", step.name()))),
                (Ok(_), Err(_)) => {}
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    costs.into_inner().expect("no one panics with it")
}

fn count(part: &Part, step: Step) -> Result<Cost> {
    let difference = |tool: &Tool| -> Result<f64> {
        let (short, long) = (tool.count(part, step, SHORT)?, tool.count(part, step, LONG)?);
        Ok((long as f64 - short as f64) / (LONG - SHORT) as f64)
    };
    // A lock or a timer may move one the other way.
    let round = |number: f64, places: f64| (number.max(0.0) * places).round() / places;
    Ok(Cost {
        instructions: round(difference(&INSTRUCTIONS)?, 1.0),
        allocations: round(difference(&ALLOCATIONS)?, 10.0),
    })
}

/// This binary, as valgrind runs it.
struct Part<'a> {
    binary: &'a Path,
    compiled: &'a Path,
}

impl Part<'_> {
    /// What valgrind said.
    fn run(&self, arguments: &[&str], step: Step, messages: u64) -> Result<String> {
        let output = Command::new("valgrind")
            .args(arguments)
            // The handler's machine code is no file's.
            .arg("--smc-check=all-non-file")
            .arg(self.binary)
            .args(["guard-part", &step.name(), &messages.to_string()])
            .arg(self.compiled)
            .output()
            .context("cannot start valgrind; tests/clients/setup.sh installs it")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "valgrind {} failed, {}:\n{said}", arguments[0], output.status);
        Ok(said)
    }
}

/// One of valgrind's, and where it says what it has counted.
struct Tool {
    arguments: &'static [&'static str],
    before: &'static str,
    after: &'static str,
}

const INSTRUCTIONS: Tool =
    Tool { arguments: &["--tool=callgrind", "--callgrind-out-file=/dev/null"], before: "Collected : ", after: "" };
const ALLOCATIONS: Tool =
    Tool { arguments: &["--tool=dhat", "--dhat-out-file=/dev/null"], before: "Total:", after: " blocks" };

impl Tool {
    fn count(&self, part: &Part, step: Step, messages: u64) -> Result<u64> {
        let said = part.run(self.arguments, step, messages)?;
        self.read(&said)
            .with_context(|| format!("valgrind {} does not say what it has counted:\n{said}", self.arguments[0]))
    }

    /// The number in `==1== Total: 1,234 bytes in 56 blocks`, which is the last before `after`.
    fn read(&self, said: &str) -> Option<u64> {
        let rest = said.lines().find_map(|line| line.split_once(self.before)).map(|(_, rest)| rest.trim())?;
        let number = rest.strip_suffix(self.after)?.rsplit(' ').next()?;
        number.replace(',', "").parse().ok()
    }
}

/// The committed figures.
///
/// # Errors
/// When there are none.
pub fn figures() -> Result<Costs> {
    let path = figures_path();
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}; make it with {RENEW}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is damaged; make it with {RENEW}", path.display()))
}

fn figures_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guard.json")
}

/// What is not as the figures say, a line each; nothing when all is.
pub fn compare(found: &Costs, expected: &Costs) -> Vec<String> {
    let mut complaints = Vec::new();
    for (step, found) in found {
        let Some(expected) = expected.get(step) else {
            complaints.push(format!("`{step}` has no figure; write it: {RENEW}"));
            continue;
        };
        let pairs = [
            ("instructions", found.instructions, expected.instructions, SLACK_INSTRUCTIONS),
            ("allocations", found.allocations, expected.allocations, SLACK_ALLOCATIONS),
        ];
        for (what, found, expected, slack) in pairs {
            let allowed = (expected * TOLERANCE_PERCENT / 100.0).max(slack);
            let more = (found / expected - 1.0) * 100.0;
            if found > expected + allowed {
                complaints.push(format!(
                    "`{step}` takes {found} {what} a message, {more:+.1} % of the figure {expected}. Find out why; if it is worth \
                     that, renew the figure: {RENEW}"
                ));
            } else if found < expected - allowed {
                complaints.push(format!(
                    "`{step}` takes {found} {what} a message, {more:+.1} % of the figure {expected}: better. Renew the figure, so \
                     that it stays so: {RENEW}"
                ));
            }
        }
    }
    let gone = expected.keys().filter(|step| !found.contains_key(*step));
    complaints.extend(gone.map(|step| format!("`{step}` has a figure and is no step; renew the figures: {RENEW}")));
    complaints
}

fn in_a_table(found: &Costs, expected: Option<&Costs>) -> String {
    let mut table = "| step | instructions a message | figure | allocations a message | figure |\n".to_owned();
    table += "| --- | --- | --- | --- | --- |\n";
    for (step, cost) in found {
        let figure = |of: fn(&Cost) -> f64| {
            expected.and_then(|all| all.get(step)).map_or("-".into(), |cost| of(cost).to_string())
        };
        let (instructions, allocations) = (figure(|cost| cost.instructions), figure(|cost| cost.allocations));
        table +=
            &format!("| {step} | {} | {instructions} | {} | {allocations} |\n", cost.instructions, cost.allocations);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_valgrind_says_is_read() {
        let callgrind = "==7== Events    : Ir\n==7== Collected : 1234567\n";
        assert_eq!(INSTRUCTIONS.read(callgrind), Some(1_234_567));
        let dhat = "==7== Total:     1,234 bytes in 56,789 blocks\n==7== At t-gmax: 12 bytes in 1 blocks\n";
        assert_eq!(ALLOCATIONS.read(dhat), Some(56_789));
        assert_eq!(ALLOCATIONS.read("==7== nothing"), None);
    }

    #[test]
    fn more_than_five_percent_either_way_is_said_with_both_numbers_and_the_way_out() {
        let costs = |instructions: f64, allocations: f64| -> Costs {
            [("decode".to_owned(), Cost { instructions, allocations })].into()
        };
        let check = |found: Costs, expect: &[&str]| {
            let complaints = compare(&found, &costs(10_000.0, 100.0));
            assert_eq!(complaints.len(), usize::from(!expect.is_empty()), "{complaints:?}");
            for part in expect {
                assert!(complaints[0].contains(part), "{complaints:?}");
            }
        };
        check(costs(10_500.0, 95.0), &[]);
        check(costs(10_501.0, 100.0), &["10501 instructions", "+5.0 %", "10000", "Find out why", RENEW]);
        check(costs(9_499.0, 100.0), &["9499 instructions", "better", RENEW]);
        check(costs(10_000.0, 106.0), &["106 allocations", "+6.0 %", RENEW]);
        check(costs(10_000.0, 94.0), &["94 allocations", "better", RENEW]);
        check(Costs::new(), &["`decode` has a figure and is no step"]);
        let unknown = compare(&costs(1.0, 1.0), &Costs::new());
        assert!(unknown[0].contains("no figure"), "{unknown:?}");
    }
}
