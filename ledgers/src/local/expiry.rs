//! Removes the steps that nobody asks for any more, and the envelopes and documents whose time is
//! over: a few each second.
//!
//! Most steps go with their message's completion. What is left is what a crash left, and what
//! belongs to entries that have expired: a walk over the table finds it.

use wasq_core::message::{Key, UnixMs};

use super::rows::Batch;
use crate::ledger::{Fence, LedgerError};

/// Steps that a turn looks at, and envelopes and documents that it removes: some milliseconds.
const ROWS_A_TURN: u32 = 500;

/// How far the walk over the steps has come: to the last step's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expiry(i64);

impl Expiry {
    /// Looks at some steps and removes those that `is_needed` denies. Gives the walk as it stands
    /// once the batch is written.
    pub fn turn(
        self,
        batch: &Batch<'_>,
        now: UnixMs,
        is_needed: impl Fn(Key, Fence) -> Result<bool, LedgerError>,
    ) -> Result<Self, LedgerError> {
        batch.remove_envelopes(now, ROWS_A_TURN)?;
        batch.remove_documents(now, ROWS_A_TURN)?;
        let steps = batch.steps_after(self.0, ROWS_A_TURN)?;
        for step in &steps {
            // A key that cannot be read is nobody's. An entry that cannot be may be read again.
            let is_needed = step.key.map_or(Ok(false), |key| is_needed(key, step.fence));
            match is_needed {
                Ok(false) => batch.remove_step(step.row)?,
                Ok(true) | Err(LedgerError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let is_round = steps.len() < ROWS_A_TURN as usize;
        Ok(steps.last().filter(|_| !is_round).map_or(Self::default(), |last| Self(last.row)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::Store;
    use super::*;

    #[test]
    fn step_by_step_what_nobody_needs_goes_and_the_rest_stays() {
        const STEPS: u32 = ROWS_A_TURN * 2 + 10;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut store = Store::open(dir.path()).expect("it opens").store;
        let batch = store.begin().expect("it begins");
        let key = |n: u32| Key::derive(&[&n.to_le_bytes()]);
        for n in 0..STEPS {
            batch.put_step(key(n), Fence(u64::from(n)), "step", b"value").expect("it writes");
        }
        let is_needed = |_: Key, fence: Fence| Ok(fence.0.is_multiple_of(10));
        let (mut expiry, mut turns) = (Expiry::default(), 0);
        loop {
            expiry = expiry.turn(&batch, UnixMs(1), is_needed).expect("it sweeps");
            turns += 1;
            if expiry == Expiry::default() {
                break;
            }
        }
        assert_eq!(turns, 3, "one turn does not look at everything");
        for n in 0..STEPS {
            let step = batch.step(key(n), Fence(0), "step").expect("it reads");
            assert_eq!(step.is_some(), n.is_multiple_of(10), "{n}");
        }
    }

    #[test]
    fn envelopes_go_when_their_time_is_over() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut store = Store::open(dir.path()).expect("it opens").store;
        let batch = store.begin().expect("it begins");
        batch.put_envelope("over", b"{}", UnixMs(5)).expect("it writes");
        batch.put_envelope("kept", b"{}", UnixMs(6)).expect("it writes");
        Expiry::default().turn(&batch, UnixMs(5), |_, _| Ok(true)).expect("it sweeps");
        let there = |id: &str| batch.envelope(id, UnixMs(0)).expect("it reads").is_some();
        assert_eq!((there("over"), there("kept")), (false, true));
    }
}
