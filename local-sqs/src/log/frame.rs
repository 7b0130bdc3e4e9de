//! Frames: what a commit looks like in the log.
//!
//! `length u32 | checksum 8 bytes | records' length u32 | records as JSON | contents`, integers
//! little-endian. The length counts what follows the checksum, and the checksum (blake3, its first
//! 8 bytes) covers it.

use super::super::record::Record;

/// Bytes before what the checksum covers.
pub const HEADER_BYTES: usize = 4 + CHECKSUM_BYTES;
const CHECKSUM_BYTES: usize = 8;
const RECORDS_LENGTH_BYTES: usize = 4;

/// Appends a frame to the buffer and gives the places of its contents, as offsets in the buffer.
pub fn encode(buffer: &mut Vec<u8>, records: &[Record], contents: &[Vec<u8>]) -> Vec<usize> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER_BYTES + RECORDS_LENGTH_BYTES]);
    let records_start = buffer.len();
    serde_json::to_writer(&mut *buffer, records).expect("records of numbers and strings are valid JSON");
    let records_bytes = (buffer.len() - records_start) as u32;
    let mut places = Vec::with_capacity(contents.len());
    for content in contents {
        places.push(buffer.len());
        buffer.extend_from_slice(content);
    }
    let covered_start = start + HEADER_BYTES;
    buffer[covered_start..records_start].copy_from_slice(&records_bytes.to_le_bytes());
    let length = (buffer.len() - covered_start) as u32;
    let checksum = checksum(&buffer[covered_start..]);
    buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
    buffer[start + 4..covered_start].copy_from_slice(&checksum);
    places
}

/// A frame's header: how many bytes follow it, and their checksum.
pub struct Header {
    pub length: usize,
    checksum: [u8; CHECKSUM_BYTES],
}

impl Header {
    /// Reads a header. A length of zero is none: that is how unwritten space looks.
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Option<Self> {
        let length = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
        let checksum = bytes[4..].try_into().expect("eight bytes");
        (length > RECORDS_LENGTH_BYTES).then_some(Self { length, checksum })
    }

    /// Reads the records in what follows the header, and where in it their contents begin.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn records(&self, covered: &[u8]) -> Result<(Vec<Record>, usize), FrameError> {
        if checksum(covered) != self.checksum {
            return Err(FrameError::Damaged);
        }
        let short = || FrameError::Unknown("it has less bytes than it says".to_owned());
        let (length, _) = covered.split_first_chunk::<RECORDS_LENGTH_BYTES>().ok_or_else(short)?;
        let contents = RECORDS_LENGTH_BYTES + u32::from_le_bytes(*length) as usize;
        let records = covered.get(RECORDS_LENGTH_BYTES..contents).ok_or_else(short)?;
        let records = serde_json::from_slice(records).map_err(|error| FrameError::Unknown(error.to_string()))?;
        Ok((records, contents))
    }
}

/// Why a frame is not read.
pub enum FrameError {
    /// Its checksum is wrong: not all of it was written.
    Damaged,
    /// It is as it was written, and another version wrote it. Says what is unknown in it.
    Unknown(String),
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    blake3::hash(bytes).as_bytes()[..CHECKSUM_BYTES].try_into().expect("blake3 gives 32 bytes")
}
