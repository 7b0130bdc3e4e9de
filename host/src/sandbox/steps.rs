//! Steps: what earlier attempts finished, read from the ledger and recorded in it.

use super::bindings::wasq::worker::steps::{Error, Host};
use super::state::State;
use crate::ledger::LedgerError;

/// The longest name of a step.
const NAME_MAX_BYTES: usize = 256;

impl Host for State {
    async fn get(&mut self, name: String) -> Result<Option<Vec<u8>>, Error> {
        check_name(&name)?;
        self.ledger.get_step(self.key, self.fence, &name).await.map_err(unavailable)
    }

    async fn put(&mut self, name: String, value: Vec<u8>) -> Result<(), Error> {
        check_name(&name)?;
        if value.len() > self.limits.step_bytes {
            let limit = self.limits.step_bytes;
            return Err(Error::Limit(format!("step `{name}` has {} bytes; the limit is {limit}", value.len())));
        }
        if self.steps_put >= self.limits.steps {
            return Err(Error::Limit(format!("at most {} steps a run", self.limits.steps)));
        }
        self.steps_put += 1;
        self.ledger.put_step(self.key, self.fence, &name, &value).await.map_err(unavailable)
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_MAX_BYTES {
        return Err(Error::Limit(format!("a step's name has 1 to {NAME_MAX_BYTES} bytes")));
    }
    Ok(())
}

fn unavailable(error: LedgerError) -> Error {
    Error::Unavailable(error.to_string())
}
