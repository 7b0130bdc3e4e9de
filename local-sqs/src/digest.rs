//! SQS's digests in lower-case hexadecimal: MD5 over bodies and over attributes, as checksums, and
//! SHA-256 over bodies, as deduplication ids.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use sha2::Sha256;

use super::message::{Attribute, AttributeValue};

/// The checksum of a body.
pub fn of_body(body: &[u8]) -> String {
    hex(Md5::digest(body).as_slice())
}

/// The deduplication id of a message that brings none ("Exactly-once processing" in the SQS
/// developer guide).
pub fn dedup_id(body: &[u8]) -> String {
    hex(Sha256::digest(body).as_slice())
}

/// The checksum of attributes in the order of their names, or nothing if there are none. Each of
/// name, data type and value is preceded by its length as four bytes, and the value by 1 (text) or
/// 2 (binary): "Calculating the MD5 message digest for message attributes" in the SQS developer
/// guide.
pub fn of_attributes<'a>(attributes: impl IntoIterator<Item = (&'a String, &'a Attribute)>) -> Option<String> {
    let sorted: BTreeMap<_, _> = attributes.into_iter().collect();
    if sorted.is_empty() {
        return None;
    }
    let mut md5 = Md5::new();
    for (name, attribute) in sorted {
        update(&mut md5, name.as_bytes());
        update(&mut md5, attribute.data_type.as_bytes());
        match &attribute.value {
            AttributeValue::Text(text) => {
                md5.update([1]);
                update(&mut md5, text.as_bytes());
            }
            AttributeValue::Binary(bytes) => {
                md5.update([2]);
                update(&mut md5, bytes);
            }
        }
    }
    Some(hex(md5.finalize().as_slice()))
}

fn update(md5: &mut Md5, bytes: &[u8]) {
    md5.update((bytes.len() as u32).to_be_bytes());
    md5.update(bytes);
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_checksum_is_plain_md5() {
        assert_eq!(of_body(b"This is a test message"), "fafb00f5732ab283681e124bf8747ed1");
    }

    #[test]
    fn deduplication_ids_are_sha_256() {
        let expect = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";
        assert_eq!(dedup_id(b"first"), expect);
    }

    #[test]
    fn attribute_checksum_follows_the_developer_guide() {
        let text = |kind: &str, value: &str| Attribute {
            data_type: kind.to_owned(),
            value: AttributeValue::Text(value.to_owned()),
        };
        let name = "timestamp".to_owned();
        let one = text("Number", "1493147359900");
        // A value that several independent SQS clients and servers agree upon.
        assert_eq!(of_attributes([(&name, &one)]).as_deref(), Some("235c5c510d26fb653d073faed50ae77c"));
        assert_eq!(of_attributes([]), None);
    }
}
