//! Objects that an event of S3 is about: what they are called as images, and where they are. The
//! handler makes uploads of them.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What is encoded in a path, as S3 signs it.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// How much of an object's name is in an image id.
const NAME_BYTES: usize = 64;
/// How much of the hash is in one: 128 bits, so that nobody finds two objects with the same id.
const HASH_BYTES: usize = 16;

/// The body of an event, as `envelope = "auto"` leaves it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Event {
    Several {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    One(Record),
}

#[derive(Debug, Deserialize)]
pub struct Record {
    s3: Entity,
}

#[derive(Debug, Deserialize)]
struct Entity {
    bucket: Bucket,
    object: Item,
}

#[derive(Debug, Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    /// Written as in a form.
    key: String,
    version_id: Option<String>,
    e_tag: Option<String>,
    sequencer: Option<String>,
}

/// One object, as it was when the event was sent.
#[derive(Debug)]
pub struct Object {
    bucket: String,
    /// As it is.
    key: Vec<u8>,
    /// What tells this content of the key from others.
    mark: String,
}

impl Event {
    pub fn objects(self) -> Vec<Object> {
        let records = match self {
            Self::Several { records } => records,
            Self::One(record) => vec![record],
        };
        records.into_iter().map(|record| Object::new(record.s3)).collect()
    }
}

impl Object {
    fn new(Entity { bucket, object }: Entity) -> Self {
        let key = percent_decode(object.key.replace('+', " ").as_bytes()).collect();
        // Without versions some stores say `null`.
        let version = object.version_id.filter(|version| version != "null");
        let mark = version.or(object.e_tag).or(object.sequencer).unwrap_or_default();
        Self { bucket: bucket.name, key, mark }
    }

    /// Its URL below that of the service.
    pub fn url(&self, service: &str) -> String {
        format!("{}/{}/{}", service.trim_end_matches('/'), self.bucket, percent_encode(&self.key, IN_PATH))
    }

    /// The name at the end of its key, as far as an image id can have it, and a hash of what tells
    /// it from others. Every event about the same content gives the same id.
    pub fn image_id(&self) -> String {
        let whole = [self.bucket.as_bytes(), &self.key, self.mark.as_bytes()].join(&b'/');
        let mut hash = String::new();
        for byte in &Sha256::digest(whole)[..HASH_BYTES] {
            // Writing to a String does not fail.
            let _ = write!(hash, "{byte:02x}");
        }
        let name = self.key.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        let name: String = name.iter().map(|byte| if is_plain(byte) { char::from(*byte) } else { '-' }).collect();
        let name = name.trim_start_matches(['-', '_', '.']);
        let name = &name[..name.len().min(NAME_BYTES)];
        if name.is_empty() { hash } else { format!("{name}-{hash}") }
    }
}
