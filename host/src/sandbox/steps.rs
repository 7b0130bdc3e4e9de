//! Steps: what earlier attempts finished, read from the ledger and recorded in it.

use wasq_ledgers::LedgerError;

use super::bindings::wasq::worker::steps::{Error, Host};
use super::state::State;

/// The longest name of a step. No setting: names are literals in a handler's code, and every ledger can keep them.
const NAME_MAX_BYTES: usize = 256;

/// What this run recorded so far.
#[derive(Default)]
pub struct Recorded {
    steps: usize,
    bytes: usize,
}

impl Host for State {
    async fn get(&mut self, name: String) -> Result<Option<Vec<u8>>, Error> {
        check_name(&name)?;
        let answer = self.ledger.get_step(self.key, self.fence, &name).await;
        answer.map_err(|error| self.unavailable(&error))
    }

    async fn put(&mut self, name: String, value: Vec<u8>) -> Result<(), Error> {
        check_name(&name)?;
        if value.len() > self.limits.step_bytes {
            let limit = self.limits.step_bytes;
            let size = value.len();
            return Err(Error::Limit(format!("the step has {size} bytes; the limit is {limit} (limits.step_bytes)")));
        }
        if self.steps.steps >= self.limits.steps {
            return Err(Error::Limit(format!("at most {} steps a run (limits.steps)", self.limits.steps)));
        }
        let bytes = self.steps.bytes.saturating_add(value.len());
        if bytes > self.limits.step_total_bytes {
            let limit = self.limits.step_total_bytes;
            return Err(Error::Limit(format!(
                "all steps of a run have at most {limit} bytes (limits.step_total_bytes)"
            )));
        }
        self.steps = Recorded { steps: self.steps.steps + 1, bytes };
        let answer = self.ledger.put_step(self.key, self.fence, &name, &value).await;
        answer.map_err(|error| self.unavailable(&error))
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_MAX_BYTES {
        return Err(Error::Limit(format!("a step's name has 1 to {NAME_MAX_BYTES} bytes")));
    }
    if name.starts_with('\0') {
        return Err(Error::Limit("a step's name does not begin with NUL: such names are the host's".into()));
    }
    Ok(())
}

impl State {
    fn unavailable(&mut self, error: &LedgerError) -> Error {
        self.claim_is_void |= matches!(error, LedgerError::Stale);
        Error::Unavailable(error.to_string())
    }
}
