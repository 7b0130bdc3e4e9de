//! An entry as bytes, the same in the log and in the runs: `key 32 | length u32 | content`,
//! integers little-endian. The length counts the content, which begins with the moment from which
//! the entry may be removed and its state.

use wasq_core::message::{BodyDigest, Key, MessageId, UnixMs};

use crate::entry::{self, DeadIds, Entry, State};
use crate::ledger::{Fence, LedgerError};

/// Bytes of an entry at most. A result has up to 256 KiB (`limits.result_bytes`), and a message id
/// some dozens.
pub const RECORD_MAX_BYTES: usize = 1024 * 1024;
/// Bytes before a record's content.
pub const HEADER_BYTES: usize = KEY_BYTES + 4;
const KEY_BYTES: usize = 32;

// The states as they are written.
/// No version's: what it was cannot be read.
pub const UNREADABLE: u8 = 0;
const CLAIMED: u8 = 1;
const RELEASED: u8 = 2;
const DONE: u8 = 3;
const DEAD_LETTERED: u8 = 4;

/// An entry, and what the local store knows of it besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub entry: Entry,
    /// The claim with which the key's present life began. A step that was recorded under an older
    /// one is forgotten.
    pub steps_since: Fence,
}

impl Stored {
    /// Appends the record.
    ///
    /// # Errors
    /// [`LedgerError::TooLarge`]; the buffer is then as before.
    pub fn encode(&self, key: Key, buffer: &mut Vec<u8>) -> Result<(), LedgerError> {
        let Entry { state, fence, attempts, crashes, replays, body, message_id, dead, first_failed_at, removable_at } =
            &self.entry;
        let start = buffer.len();
        let code = match state {
            State::Claimed => CLAIMED,
            State::Released => RELEASED,
            State::Done { .. } => DONE,
            State::DeadLettered => DEAD_LETTERED,
        };
        begin(buffer, key, *removable_at, code);
        buffer.extend_from_slice(&fence.0.to_le_bytes());
        buffer.extend_from_slice(&self.steps_since.0.to_le_bytes());
        for count in [attempts, crashes, replays] {
            buffer.extend_from_slice(&count.to_le_bytes());
        }
        buffer.extend_from_slice(&body.0);
        put_option(buffer, first_failed_at.map(|at| at.0.to_le_bytes()).as_ref().map(<[u8; 8]>::as_slice));
        put_bytes(buffer, message_id.0.as_bytes());
        put_bytes(buffer, dead.as_bytes());
        if let State::Done { result, discarded } = state {
            buffer.push(u8::from(*discarded));
            put_option(buffer, result.as_deref());
        }
        end(buffer, start).inspect_err(|_| buffer.truncate(start))
    }

    /// Reads a record's content.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] names the key.
    pub fn decode(key: Key, content: &[u8]) -> Result<Self, LedgerError> {
        let damaged = |what: &str| LedgerError::Damaged(format!("{}: {what}", key.to_hex()));
        let short = || damaged("its record is shorter than it says");
        let mut rest = Reader(content);
        let removable_at = UnixMs(rest.u64().ok_or_else(short)?);
        let code = rest.u8().ok_or_else(short)?;
        if !is_known(code) {
            return Err(damaged(&entry::unknown_state(code)));
        }
        let read = |rest: &mut Reader<'_>| {
            let (fence, steps_since) = (Fence(rest.u64()?), Fence(rest.u64()?));
            let (attempts, crashes, replays) = (rest.u32()?, rest.u32()?, rest.u32()?);
            let body = BodyDigest(rest.array()?);
            let first_failed_at =
                rest.option(|rest| rest.bytes()?.try_into().ok().map(u64::from_le_bytes))?.map(UnixMs);
            let message_id = MessageId(String::from_utf8(rest.bytes()?.to_vec()).ok()?);
            let dead = DeadIds::from_bytes(rest.bytes()?.to_vec())?;
            let state = match code {
                CLAIMED => State::Claimed,
                RELEASED => State::Released,
                DONE => {
                    let discarded = rest.u8()? != 0;
                    State::Done { discarded, result: rest.option(|rest| rest.bytes().map(<[u8]>::to_vec))? }
                }
                _ => State::DeadLettered,
            };
            let entry = Entry {
                state,
                fence,
                attempts,
                crashes,
                replays,
                body,
                message_id,
                dead,
                first_failed_at,
                removable_at,
            };
            Some(Self { entry, steps_since })
        };
        read(&mut rest).ok_or_else(short)
    }
}

/// Whether this version knows the state.
pub fn is_known(state: u8) -> bool {
    (CLAIMED..=DEAD_LETTERED).contains(&state)
}

/// Appends a record whose content nobody can read, in place of one that was found so.
pub fn encode_unreadable(key: Key, removable_at: UnixMs, state: u8, buffer: &mut Vec<u8>) {
    let start = buffer.len();
    begin(buffer, key, removable_at, state);
    end(buffer, start).expect("it has nine bytes");
}

/// A record as it stands in a buffer.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub key: Key,
    /// With the header.
    pub bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record at the beginning of `bytes`; none if there is no whole one.
    pub fn first(bytes: &'a [u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk::<KEY_BYTES>()?;
        let (length, content) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let bytes = (length <= content.len()).then(|| &bytes[..HEADER_BYTES + length])?;
        Some(Self { key: Key(*key), bytes })
    }

    pub fn content(&self) -> &'a [u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// From then on the entry counts as unknown. One that does not say is kept.
    pub fn removable_at(&self) -> UnixMs {
        UnixMs(self.content().first_chunk().map_or(u64::MAX, |at| u64::from_le_bytes(*at)))
    }
}

fn begin(buffer: &mut Vec<u8>, key: Key, removable_at: UnixMs, state: u8) {
    buffer.extend_from_slice(&key.0);
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&removable_at.0.to_le_bytes());
    buffer.push(state);
}

fn end(buffer: &mut [u8], start: usize) -> Result<(), LedgerError> {
    let length = buffer.len() - start - HEADER_BYTES;
    if length > RECORD_MAX_BYTES {
        return Err(LedgerError::TooLarge(format!("an entry of {length} bytes; {RECORD_MAX_BYTES} are the most")));
    }
    buffer[start + KEY_BYTES..start + HEADER_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(())
}

fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    buffer.extend_from_slice(bytes);
}

fn put_option(buffer: &mut Vec<u8>, bytes: Option<&[u8]>) {
    buffer.push(u8::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        put_bytes(buffer, bytes);
    }
}

/// Reads from the front; none where there is too little.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.u8()? == 0 { Some(None) } else { read(self).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([7; 32]);

    fn check(state: State) {
        let entry = Entry {
            state,
            crashes: 2,
            replays: 3,
            dead: DeadIds::from_bytes(vec![1; 16]).expect("two marks"),
            first_failed_at: Some(UnixMs(5)),
            ..Entry::released(Fence(9), UnixMs(8))
        };
        let stored = Stored { entry, steps_since: Fence(4) };
        let mut bytes = Vec::new();
        stored.encode(KEY, &mut bytes).expect("it is small");
        let record = Record::first(&bytes).expect("it is whole");
        assert_eq!((record.key, record.bytes, record.removable_at()), (KEY, &bytes[..], UnixMs(8)));
        assert_eq!(Stored::decode(KEY, record.content()).expect("it is whole"), stored);
        for short in 0..record.content().len() {
            let damaged = Stored::decode(KEY, &record.content()[..short]);
            assert!(matches!(damaged, Err(LedgerError::Damaged(what)) if what.contains(&KEY.to_hex())), "{short}");
        }
        for short in 0..bytes.len() {
            assert!(Record::first(&bytes[..short]).is_none(), "{short}");
        }
    }

    #[test]
    fn what_is_written_is_read_in_every_state() {
        check(State::Claimed);
        check(State::Released);
        check(State::Done { result: None, discarded: true });
        check(State::Done { result: Some(b"result".to_vec()), discarded: false });
        check(State::DeadLettered);
    }

    #[test]
    fn a_state_of_another_version_is_said_with_its_number() {
        let mut bytes = Vec::new();
        encode_unreadable(KEY, UnixMs(1), 9, &mut bytes);
        let record = Record::first(&bytes).expect("it is whole");
        let damaged = Stored::decode(KEY, record.content()).expect_err("nobody knows it");
        assert!(damaged.to_string().contains("`9`"), "{damaged}");
    }

    #[test]
    fn what_is_too_large_is_refused_and_leaves_no_trace() {
        let state = State::Done { result: Some(vec![0; RECORD_MAX_BYTES]), discarded: false };
        let entry = Entry { state, ..Entry::released(Fence(1), UnixMs(1)) };
        let mut bytes = b"before".to_vec();
        let refused = Stored { entry, steps_since: Fence(1) }.encode(KEY, &mut bytes);
        assert!(matches!(refused, Err(LedgerError::TooLarge(_))));
        assert_eq!(bytes, b"before");
    }
}
