//! The fuzz targets on a stable compiler: a plain mutator over the saved corpus, the same for the
//! same seed.

#[path = "../../fuzz/targets.rs"]
pub mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;
use wasq_core::clock;

/// The longest input that is made.
const INPUT_MAX_BYTES: usize = 64 * 1024;
/// Changes to one input at most.
const CHANGES_MAX: usize = 8;
/// Bytes and numbers at which parsers turn.
const BYTES: [u8; 10] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'[', b'\n', b'.'];
/// What the formats are made of: whole words are seldom found by chance.
const WORDS: [&str; 30] = [
    "\"type\":",
    "\"Records\":[",
    "\"eventSource\":\"aws:s3\",",
    "\"specversion\":\"1.0\",",
    "\"Type\":\"Notification\",",
    "\"TaskToken\":",
    "\"mail\":{\"messageId\":\"m\"},",
    "\"Message\":",
    "\"detail\":",
    "\"data_base64\":",
    "\\ud800",
    "1e999",
    "18446744073709551615",
    "-1",
    "[[[[[[[[",
    "https://",
    "*.",
    "@",
    "[::1]",
    ":0",
    ":65536",
    "%2e",
    "xn--",
    "\u{3002}",
    "name = ",
    "types = ",
    "[retry]",
    "'''",
    "nan",
    "\0asm",
];

/// What can be fuzzed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    Decode,
    Manifest,
    Egress,
    Component,
}

/// Run one fuzz target on inputs made of its saved corpus.
///
/// Exits with 1 when an input makes it panic; the input is kept in the temporary directory.
#[derive(clap::Args)]
pub struct Fuzz {
    #[arg(long)]
    target: Target,
    /// How long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The inputs follow from it.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Runs the target on this file alone.
    #[arg(long)]
    input: Option<PathBuf>,
}

/// An input that made its target panic.
#[derive(Debug)]
pub struct Crash {
    pub input: Vec<u8>,
}

impl Target {
    pub const ALL: [Self; 4] = [Self::Decode, Self::Manifest, Self::Egress, Self::Component];

    fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Manifest => "manifest",
            Self::Egress => "egress",
            Self::Component => "component",
        }
    }

    fn call(self, data: &[u8]) {
        match self {
            Self::Decode => targets::decode(data),
            Self::Manifest => targets::manifest(data),
            Self::Egress => targets::egress(data),
            Self::Component => targets::component(data),
        }
    }

    /// The inputs in fuzz/corpus.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn corpus(self) -> Result<Vec<Vec<u8>>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(self.name());
        let entries = dir.read_dir().with_context(|| format!("{} cannot be read", dir.display()))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.sort();
        paths.iter().map(|path| Ok(std::fs::read(path)?)).collect()
    }

    /// # Errors
    /// The input, if the target panics on it.
    pub fn check(self, input: Vec<u8>) -> Result<(), Crash> {
        // Not to go on after a panic, but to say which input it was.
        catch_unwind(AssertUnwindSafe(|| self.call(&input))).map_err(|_| Crash { input })
    }
}

/// Makes inputs of a corpus.
pub struct Mutator {
    corpus: Vec<Vec<u8>>,
    rng: Rng,
}

impl Mutator {
    /// # Panics
    /// When the corpus is empty.
    pub fn new(corpus: Vec<Vec<u8>>, seed: u64) -> Self {
        assert!(!corpus.is_empty(), "there is nothing to make inputs of");
        Self { corpus, rng: Rng::with_seed(seed) }
    }

    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.pick();
        for _ in 0..self.rng.usize(1..=CHANGES_MAX) {
            self.change(&mut input);
        }
        input.truncate(INPUT_MAX_BYTES);
        input
    }

    fn pick(&mut self) -> Vec<u8> {
        self.corpus[self.rng.usize(..self.corpus.len())].clone()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.rng.usize(..=input.len());
        let end = (at + self.rng.usize(1..=16)).min(input.len());
        match self.rng.u8(..7) {
            0 if at < input.len() => input[at] ^= 1 << self.rng.u8(..8),
            1 if at < input.len() => input[at] = BYTES[self.rng.usize(..BYTES.len())],
            2 => drop(input.drain(at..end)),
            3 => {
                let repeated = input[at..end].repeat(self.rng.usize(1..64));
                input.splice(at..at, repeated);
            }
            4 => {
                let word = WORDS[self.rng.usize(..WORDS.len())];
                input.splice(at..at, word.bytes());
            }
            5 => {
                let other = self.pick();
                let from = self.rng.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => input.insert(at, self.rng.u8(..)),
        }
    }
}

impl Fuzz {
    /// # Errors
    /// When the corpus cannot be read.
    pub fn run(self) -> Result<ExitCode> {
        if let Some(path) = &self.input {
            self.target.call(&std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?);
            return Ok(ExitCode::SUCCESS);
        }
        let mut mutator = Mutator::new(self.target.corpus()?, self.seed);
        let (began, mut runs) = (clock::now(), 0_u64);
        while began.elapsed() < Duration::from_secs(self.seconds) {
            if let Err(Crash { input }) = self.target.check(mutator.input()) {
                let name = self.target.name();
                let path = std::env::temp_dir().join(format!("wasq-fuzz-{name}-{}-{runs}", self.seed));
                std::fs::write(&path, input)?;
                println!("run {runs} panics; again: wasq-tests fuzz --target {name} --input {}", path.display());
                return Ok(ExitCode::FAILURE);
            }
            runs += 1;
        }
        println!("{}: {runs} inputs in {} s, no panic", self.target.name(), self.seconds);
        Ok(ExitCode::SUCCESS)
    }
}
