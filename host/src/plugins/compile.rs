//! From a component's bytes to a handler: out of the cache, or compiled in a process of its own.
//!
//! Compiling has no bound in itself: a component can be made to take minutes and gigabytes. So the
//! host has a child process do it, whose time and memory the kernel bounds, and takes the machine
//! code from its standard output.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};

use super::cache::Cache;
use crate::config::{Config, Limits};
use crate::sandbox::{CompileError, Handler, Sandbox};

/// How much longer than its CPU time the child may take before it is killed: it may have had to
/// wait for a core.
const WAIT_FACTOR: u32 = 4;
/// How much machine code may be larger than the component that it was made from. 4 is usual.
const CODE_FACTOR: u64 = 64;
/// How much of what the child says against a component is read.
const WORDS_MAX_BYTES: u64 = 16 * 1024;

/// Compiles components for one config.
#[derive(Clone)]
pub struct Compiler {
    sandbox: Sandbox,
    limits: Limits,
    /// The `wasq` binary and the cache; without them, components are compiled here, without bounds.
    child: Option<(PathBuf, Option<Cache>)>,
}

impl Compiler {
    pub fn new(sandbox: Sandbox, config: &Config) -> Self {
        let cache = || match Cache::open(&config.compile_cache, sandbox.compatibility()) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::warn!(%error, "components are compiled anew at every start");
                None
            }
        };
        let child = config.compiler.clone().map(|program| (program, cache()));
        Self { limits: config.limits.clone(), child, sandbox }
    }

    /// Blocks for as long as compiling takes.
    pub fn compile(&self, bytes: &[u8]) -> Result<Handler, CompileError> {
        let Some((program, cache)) = &self.child else { return self.sandbox.compile(bytes) };
        let digest = blake3::hash(bytes);
        if let Some(code) = cache.as_ref().and_then(|cache| cache.get(digest)) {
            match self.sandbox.load_code(&code) {
                Ok(handler) => return Ok(handler),
                Err(error) => tracing::warn!(%error, "code from the cache does not fit; compiling it anew"),
            }
        }
        let code = self.compile_in_child(program, bytes)?;
        let handler = self.sandbox.load_code(&code)?;
        if let Some(cache) = cache
            && let Err(error) = cache.put(digest, &code)
        {
            tracing::warn!(%error, "compiled code cannot be kept; it is compiled anew at the next start");
        }
        Ok(handler)
    }

    fn compile_in_child(&self, program: &Path, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
        let failed = |error: std::io::Error| CompileError::Apart(format!("{}: {error}", program.display()));
        let mut child = Command::new(program)
            .arg("compile-component")
            .arg(CompileArguments::of(&self.limits).to_json())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear()
            .spawn()
            .map_err(failed)?;
        let output = self.talk(&mut child, bytes);
        // Whatever came of it, it is gone afterwards.
        drop(child.kill());
        let status = child.wait().map_err(failed)?;
        let Some((code, words)) = output.map_err(failed)? else {
            return Err(self.too_long());
        };
        self.verdict(status, code, &words)
    }

    /// Gives the child its component and reads what it says; none if it takes too long.
    fn talk(&self, child: &mut Child, bytes: &[u8]) -> std::io::Result<Option<(Vec<u8>, String)>> {
        let mut stdin = child.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        let stdout = child.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        let stderr = child.stderr.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        let code_max = (bytes.len() as u64).saturating_mul(CODE_FACTOR).saturating_add(1 << 20);
        let (done, heard) = sync_channel(1);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // One that ends before it has read everything says why on its other pipes.
                drop(stdin.write_all(bytes));
            });
            scope.spawn(move || {
                let words = std::thread::spawn(move || {
                    let mut words = String::new();
                    stderr.take(WORDS_MAX_BYTES).read_to_string(&mut words).map(|_| words)
                });
                let mut code = Vec::new();
                let read = stdout.take(code_max).read_to_end(&mut code);
                let words = words.join().unwrap_or_else(|_| Ok(String::new()));
                // Nobody listens any more when it took too long.
                drop(done.send(read.and_then(|_| Ok((code, words?)))));
            });
            match heard.recv_timeout(self.limits.compile_time * WAIT_FACTOR) {
                Ok(heard) => heard.map(Some),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    // The threads end when its pipes close.
                    child.kill().map(|()| None)
                }
            }
        })
    }

    fn verdict(&self, status: ExitStatus, code: Vec<u8>, words: &str) -> Result<Vec<u8>, CompileError> {
        use std::os::unix::process::ExitStatusExt;
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(code),
            (Some(_), _) if words.contains("memory allocation") => {
                Err(CompileError::TooMuchMemory { limit: self.limits.compile_memory })
            }
            (Some(_), _) => Err(CompileError::of_engine(words.trim().to_owned())),
            (None, Some(signal)) if signal == rustix::process::Signal::ABORT.as_raw() => {
                Err(CompileError::TooMuchMemory { limit: self.limits.compile_memory })
            }
            (None, _) => Err(self.too_long()),
        }
    }

    fn too_long(&self) -> CompileError {
        CompileError::TooLong { limit: self.limits.compile_time }
    }
}

/// What the child must know to compile for this host's engine, and its own bounds.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct CompileArguments {
    max_memory_bytes: u64,
    table_elements: usize,
    compile_time_s: u64,
    compile_memory_bytes: u64,
}

impl CompileArguments {
    fn of(limits: &Limits) -> Self {
        Self {
            max_memory_bytes: limits.max_memory.as_u64(),
            table_elements: limits.table_elements,
            compile_time_s: limits.compile_time.as_secs().max(1),
            compile_memory_bytes: limits.compile_memory.as_u64(),
        }
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers have a JSON")
    }

    /// The child's part: bounds this process, compiles what stands on standard input, and writes
    /// the code to standard output.
    ///
    /// # Errors
    /// What is wrong with the component, in words.
    pub fn run(self) -> Result<(), String> {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let bound = |amount| Rlimit { current: Some(amount), maximum: Some(amount) };
        setrlimit(Resource::Cpu, bound(self.compile_time_s)).map_err(|error| error.to_string())?;
        // The memories' reservation is not writable and does not count.
        setrlimit(Resource::Data, bound(self.compile_memory_bytes)).map_err(|error| error.to_string())?;
        let limits = Limits {
            // Nothing runs here. The stacks of a pool are writable, and thousands of them would
            // count.
            max_instances: 1,
            max_memory: bytesize::ByteSize(self.max_memory_bytes),
            table_elements: self.table_elements,
            ..Limits::default()
        };
        let sandbox = Sandbox::without_ticks(&limits).map_err(|error| format!("{error:#}"))?;
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        let code = sandbox.precompile(&bytes)?;
        std::io::stdout().write_all(&code).map_err(|error| error.to_string())
    }
}
