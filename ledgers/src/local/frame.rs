//! Frames: what a batch looks like in the log. `length u32 | checksum 8 bytes | version u8 |
//! records`, integers little-endian. The length counts what follows the checksum, and the checksum
//! (blake3, its first 8 bytes) covers it: a batch is there whole or not at all.

use super::record::Record;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 4 + CHECKSUM_BYTES;
pub const CHECKSUM_BYTES: usize = 8;
/// A frame without records.
pub const EMPTY_BYTES: usize = HEADER_BYTES + 1;

/// Begins a frame at the buffer's end; its records are appended.
pub fn begin(buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&[0; HEADER_BYTES]);
    buffer.push(VERSION);
}

/// Ends the frame that is `frame`.
pub fn end(frame: &mut [u8]) {
    let (header, covered) = frame.split_at_mut(HEADER_BYTES);
    header[..4].copy_from_slice(&(covered.len() as u32).to_le_bytes());
    header[4..].copy_from_slice(&checksum(covered));
}

pub fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    *blake3::hash(bytes).as_bytes().first_chunk().expect("blake3 gives 32 bytes")
}

/// What stands at a place in the log.
pub enum Found<'a> {
    Frame(Frame<'a>),
    /// Nothing, or a frame that was not written whole.
    Torn,
    /// A whole frame of another version.
    Unknown(u8),
}

pub struct Frame<'a> {
    records: &'a [u8],
    /// With its header.
    pub bytes: usize,
}

/// Reads the frame at the beginning of `bytes`.
pub fn read(bytes: &[u8]) -> Found<'_> {
    let whole = || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
        let covered = rest.get(..u32::from_le_bytes(*length) as usize)?;
        (checksum(covered) == *sum).then_some(covered)
    };
    match whole().and_then(<[u8]>::split_first) {
        None => Found::Torn,
        Some((&VERSION, records)) => Found::Frame(Frame { records, bytes: EMPTY_BYTES + records.len() }),
        Some((version, _)) => Found::Unknown(*version),
    }
}

impl<'a> Frame<'a> {
    /// The records, each with its offset in the frame.
    pub fn records(&self) -> impl Iterator<Item = (usize, Record<'a>)> + use<'a> {
        let (mut rest, mut offset) = (self.records, EMPTY_BYTES);
        std::iter::from_fn(move || {
            let record = Record::first(rest)?;
            let found = (offset, record);
            rest = &rest[record.bytes.len()..];
            offset += record.bytes.len();
            Some(found)
        })
    }
}
