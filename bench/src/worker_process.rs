//! What runs in a process of its own, so that its CPU time and memory are counted apart.
//!
//! The bench starts each process as `wasq-bench worker JSON` and talks to it over its pipes. The
//! process says `begin` when it is warm and waits for `go`. In a latency run it says `consuming`
//! when messages may come. At its end it writes one line with what it measured. The peers' scripts
//! speak the same protocol.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::call_process::{self, Caller};
use crate::contestant::Contestant;
use crate::protocol::{Consumer, Producer, say};
use crate::{host_process, native_process, produce_process, queue_process, trigger_process};

/// What a process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerProcess {
    /// The local queue, with its data in this directory.
    Queue(PathBuf),
    Consume(Consumer),
    Produce(Producer),
    Call(Caller),
}

impl WorkerProcess {
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Queue(dir) => queue_process::run(dir).await,
            Self::Produce(producer) => produce_process::run(producer).await,
            Self::Call(caller) => call_process::run(caller).await,
            Self::Consume(consumer) => {
                let outcome = match consumer.contestant {
                    Contestant::Wasq | Contestant::WasqNoLedger | Contestant::WasqNative => {
                        host_process::run(consumer).await
                    }
                    Contestant::Native => native_process::run(consumer).await,
                    Contestant::Trigger => trigger_process::run(consumer).await,
                    Contestant::SqsConsumer
                    | Contestant::SqsConsumerSingle
                    | Contestant::Boto3
                    | Contestant::Python => {
                        anyhow::bail!("{} is a script", consumer.contestant.name())
                    }
                };
                say(&outcome?)
            }
        }
    }
}
