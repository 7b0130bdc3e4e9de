//! What the host still owes under a key, recorded beside the handler's own steps: an outbox that is
//! to be sent, or a verdict whose dead letter is. The next attempt finds it and pays it, without a
//! run.
//!
//! `run` asks for it behind each claim, and records an outbox; `record` records a verdict. Both are
//! written under the claim's fence, so that a host whose claim was taken over owes nothing any
//! more.

use std::time::Duration;

use wasq_ledgers::LedgerError;

use super::claim::Claimed;
use super::insist::insist;
use super::outbox::Finished;
use super::owed::Owed;
use super::plugin_attempt::PluginAttempt;
use crate::dlq::Letter;
use crate::exit::Exit;

/// The step under which it is recorded. No guest's step can have this name.
const STEP: &str = "\0outbox";
/// The step that says when a plugin's own delay is over, where the message may come back before
/// that.
const NOT_BEFORE_STEP: &str = "\0not-before";
/// What has been in its queue for less was hidden for as long as was asked: a queue hides it for
/// hours.
const LONG_IN_QUEUE: Duration = Duration::from_secs(60 * 60);
/// Bytes of one recorded part. DynamoDB keeps 400 KB in an item.
const PART_BYTES: usize = 256 * 1024;

/// What an earlier attempt left to be done.
#[derive(Debug, PartialEq)]
pub enum Pending {
    /// The handler has succeeded. Its outbox is to be sent, then the completion recorded.
    Outbox(Finished),
    /// The message goes to the DLQ. The handler never runs for it again.
    Letter(Box<Letter>),
}

/// What an earlier attempt recorded, if it still counts.
pub async fn load(plugin_attempt: &PluginAttempt<'_>, claim: &mut Claimed) -> Result<Option<Pending>, Exit> {
    if claim.fresh.is_new {
        return Ok(None);
    }
    let Some(mut head) = part(plugin_attempt, claim, 0).await? else { return Ok(None) };
    if head.len() < size_of::<u32>() {
        return Err(damaged("it is too short"));
    }
    let mut json = head.split_off(size_of::<u32>());
    let parts = u32::from_le_bytes(head.try_into().expect("four bytes were left"));
    for index in 1..parts {
        match part(plugin_attempt, claim, index).await? {
            Some(more) => json.extend(more),
            None => return Err(damaged("a part of it is missing")),
        }
    }
    let record: Owed = serde_json::from_slice(&json).map_err(|error| damaged(&error.to_string()))?;
    claim.owed = record.outbox_for(&claim.fresh, claim.body, plugin_attempt.digest());
    match record.letter_for(&claim.fresh, &plugin_attempt.delivery.message_id) {
        Some(letter) => Ok(Some(Pending::Letter(letter))),
        None => claim.owed.outbox().map(|found| found.map(Pending::Outbox)).map_err(|e| damaged(&e.to_string())),
    }
}

/// Records a success whose outbox is to be sent.
pub async fn keep_outbox(
    plugin_attempt: &PluginAttempt<'_>,
    claim: &mut Claimed,
    finished: &Finished,
) -> Result<(), Exit> {
    let outbox = Owed::of_outbox(finished, claim.body, claim.fresh.replays, plugin_attempt.digest());
    claim.owed = outbox.with_letters_of(&claim.owed);
    keep(plugin_attempt, claim, &claim.owed).await.map_err(|error| exit_of(plugin_attempt, error))
}

/// Records that the message goes to the DLQ, beside an outbox that was recorded before: its replay
/// may send that.
pub async fn keep_letter(
    plugin_attempt: &PluginAttempt<'_>,
    claim: &Claimed,
    letter: &Letter,
) -> Result<(), LedgerError> {
    keep(plugin_attempt, claim, &claim.owed.with_letter(letter.clone())).await
}

async fn keep(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, record: &Owed) -> Result<(), LedgerError> {
    let json = serde_json::to_vec(record).map_err(|error| LedgerError::Damaged(error.to_string()))?;
    let parts: Vec<&[u8]> = json.chunks(PART_BYTES).collect();
    // The first part goes last: where it is, all are.
    for (index, bytes) in parts.iter().enumerate().rev() {
        let index = index as u32;
        let mut value = if index == 0 { (parts.len() as u32).to_le_bytes().to_vec() } else { Vec::new() };
        value.extend_from_slice(bytes);
        put(plugin_attempt, claim, &part_name(index), &value).await?;
    }
    Ok(())
}

/// Records that this plugin is not to run before its own delay is over, whatever brings the message
/// back.
pub async fn keep_not_before(
    plugin_attempt: &PluginAttempt<'_>,
    claim: &Claimed,
    delay: Duration,
) -> Result<(), LedgerError> {
    let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let until_ms = plugin_attempt.services.clock.unix_ms().0.saturating_add(delay_ms);
    let value = [until_ms.to_le_bytes(), delay_ms.to_le_bytes()].concat();
    put(plugin_attempt, claim, NOT_BEFORE_STEP, &value).await
}

/// How much of its own delay this plugin has still to wait.
pub async fn backing_off(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed) -> Result<Option<Duration>, Exit> {
    let was_hidden_as_asked = plugin_attempt.is_only_plugin && plugin_attempt.queue_age() < LONG_IN_QUEUE;
    if was_hidden_as_asked || claim.fresh.is_new {
        return Ok(None);
    }
    let Some(value) = get(plugin_attempt, claim, NOT_BEFORE_STEP).await? else { return Ok(None) };
    Ok(left_of(&value, plugin_attempt.services.clock.unix_ms().0))
}

/// A wall clock that was set back would make a delay longer than it ever was: then it counts as
/// over.
fn left_of(not_before: &[u8], now_ms: u64) -> Option<Duration> {
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
    let (until_ms, delay_ms) = not_before.split_at_checked(size_of::<u64>())?;
    let left_ms = number(until_ms)?.checked_sub(now_ms).filter(|left_ms| *left_ms > 0)?;
    (left_ms <= number(delay_ms)?).then(|| Duration::from_millis(left_ms))
}

async fn part(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, index: u32) -> Result<Option<Vec<u8>>, Exit> {
    get(plugin_attempt, claim, &part_name(index)).await
}

fn part_name(index: u32) -> String {
    if index == 0 { STEP.to_owned() } else { format!("{STEP}/{index}") }
}

async fn get(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, name: &str) -> Result<Option<Vec<u8>>, Exit> {
    let ask = || plugin_attempt.services.ledger.get_step(claim.key, claim.fresh.fence, name);
    insist(plugin_attempt, ask).await.map_err(|error| exit_of(plugin_attempt, error))
}

async fn put(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, name: &str, value: &[u8]) -> Result<(), LedgerError> {
    insist(plugin_attempt, || plugin_attempt.services.ledger.put_step(claim.key, claim.fresh.fence, name, value)).await
}

pub fn exit_of(plugin_attempt: &PluginAttempt<'_>, error: LedgerError) -> Exit {
    match error {
        LedgerError::Stale => Exit::LeaseLost,
        LedgerError::Damaged(reason) => Exit::LedgerDamaged { reason },
        LedgerError::TooLarge(reason) => Exit::Outbox { reason },
        LedgerError::Unavailable(reason) => {
            plugin_attempt.services.health.ledger_failed(&reason);
            Exit::LedgerDown { reason }
        }
    }
}

fn damaged(why: &str) -> Exit {
    Exit::Outbox { reason: format!("the outbox that was recorded cannot be read: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_over_in_time_and_never_longer_than_it_was() {
        let step = [5_000u64.to_le_bytes(), 2_000u64.to_le_bytes()].concat();
        let check = |now_ms, expect| assert_eq!(left_of(&step, now_ms), expect, "at {now_ms}");
        check(3_000, Some(Duration::from_secs(2)));
        check(4_999, Some(Duration::from_millis(1)));
        check(5_000, None);
        check(9_000, None);
        check(2_999, None);
        assert_eq!(left_of(b"", 0), None);
        assert_eq!(left_of(&step[..9], 0), None);
    }
}
