//! Why a component cannot be a handler, with the way out.

use std::time::Duration;

/// Why a component cannot be a handler.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error("not a WebAssembly component: {0}")]
    NotAComponent(String),
    #[error(
        "it needs more than an instance may have (limits.core_instances, memories, tables, table_elements, max_memory): {0}"
    )]
    TooMuch(String),
    #[error(
        "it exports no handler: neither `wasq:worker/message-handler@0.2` nor `wasi:http/incoming-handler@0.2`; build it with \
         an SDK of wasq, or against the contract that `wasq wit` prints"
    )]
    NoHandler,
    #[error(
        "it is a program (it exports `wasi:cli/run`), not a handler: build a library that exports \
         `wasq:worker/message-handler@0.2`, as the SDKs of wasq do"
    )]
    Command,
    #[error(
        "it was built for the contract wasq:worker@{version}, and this host has wasq:worker@0.1 and @0.2: bring the host up to \
         date, or build the component with an SDK of this host's version"
    )]
    OtherContract { version: String },
    #[error(
        "it was built for WASI 0.3 ({0}), and this host runs WASI 0.2: build it for 0.2 (in Rust: the target wasm32-wasip2), and \
         with a `handle` that is not async"
    )]
    Wasi03(String),
    #[error("it was built for {name}, and does not fit what this host has of it: {reason}")]
    Contract { name: String, reason: String },
    #[error("compiling it takes more than {limit:?} of CPU time (limits.compile_time)")]
    TooLong { limit: Duration },
    #[error("compiling it takes more than {limit} of memory (limits.compile_memory)")]
    TooMuchMemory { limit: bytesize::ByteSize },
    #[error("the process that compiles components failed: {0}")]
    Apart(String),
}

impl CompileError {
    /// Why the engine does not take a component, from its own words.
    pub fn of_engine(reason: String) -> Self {
        let too_much = ["exceeds the configured maximum", "exceeds the per-instance limit", "exceeds the limit of"];
        if too_much.iter().any(|words| reason.contains(words)) {
            return Self::TooMuch(reason);
        }
        match reason.contains("component model async") {
            true => Self::Wasi03("it has async functions".into()),
            false => Self::NotAComponent(reason),
        }
    }
}
