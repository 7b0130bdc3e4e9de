//! Receipt handles: which queue, which message, and which of its deliveries.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// One delivery of one message. A later delivery of the same message has a higher count, which
/// makes this one stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The queue's number.
    pub queue: u64,
    /// The message's sequence number in it.
    pub seq: u64,
    /// How many deliveries there had been, this one included.
    pub count: u32,
}

const BYTES: usize = 8 + 8 + 4;

impl Receipt {
    /// The handle that clients hold; opaque to them.
    pub fn encode(self) -> String {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&self.queue.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_be_bytes());
        bytes[16..].copy_from_slice(&self.count.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a handle; nothing if it is something else.
    pub fn decode(handle: &str) -> Option<Self> {
        let bytes: [u8; BYTES] = URL_SAFE_NO_PAD.decode(handle).ok()?.try_into().ok()?;
        Some(Self {
            queue: u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes")),
            seq: u64::from_be_bytes(bytes[8..16].try_into().expect("eight bytes")),
            count: u32::from_be_bytes(bytes[16..].try_into().expect("four bytes")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_reads_back_and_garbage_does_not() {
        let receipt = Receipt { queue: 3, seq: 77, count: 2 };
        assert_eq!(Receipt::decode(&receipt.encode()), Some(receipt));
        for handle in ["garbage", "", "AAAAAAAAAAMAAAAAAAAATQAAAAI=", "ü"] {
            assert_eq!(Receipt::decode(handle), None, "{handle}");
        }
    }
}
