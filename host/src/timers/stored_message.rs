//! A message as the ledger keeps it until it is due: a header in JSON behind its length, then the
//! body, byte for byte.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use wasq_core::message::NamedAttribute;
use wasq_queues::Outgoing;

use super::wait::Wait;

#[derive(Serialize, Deserialize)]
struct Header {
    attributes: Vec<NamedAttribute>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    deduplication_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    wait: Option<Wait>,
}

/// A message, and what it waits for besides its time.
#[derive(Debug)]
pub struct StoredMessage {
    pub message: Outgoing,
    pub wait: Option<Wait>,
}

/// The message's delay is the timer's.
pub fn encode(message: &Outgoing, wait: Option<&Wait>) -> Bytes {
    let header = Header {
        attributes: message.attributes.iter().map(|(name, value)| NamedAttribute::of(name, value)).collect(),
        group: message.group.clone(),
        deduplication_id: message.deduplication_id.clone(),
        wait: wait.cloned(),
    };
    let header = serde_json::to_vec(&header).expect("it is text all through");
    let mut stored = BytesMut::with_capacity(size_of::<u32>() + header.len() + message.body.len());
    stored.put_u32_le(header.len() as u32);
    stored.put_slice(&header);
    stored.put_slice(&message.body);
    stored.freeze()
}

/// # Errors
/// Why it is no stored message.
pub fn decode(stored: &Bytes) -> Result<StoredMessage, String> {
    let (len, _) = stored.split_first_chunk().ok_or("it is too short")?;
    let header_len = u32::from_le_bytes(*len) as usize;
    let rest = stored.slice(size_of::<u32>()..);
    if rest.len() < header_len {
        return Err("it is too short".into());
    }
    let header: Header = serde_json::from_slice(&rest[..header_len]).map_err(|error| error.to_string())?;
    let attributes = header.attributes.into_iter().map(NamedAttribute::read);
    let message = Outgoing {
        body: rest.slice(header_len..),
        attributes: attributes.collect::<Result<_, _>>().map_err(|error| error.to_string())?,
        delay_s: 0,
        group: header.group,
        deduplication_id: header.deduplication_id,
    };
    Ok(StoredMessage { message, wait: header.wait })
}

#[cfg(test)]
mod tests {
    use wasq_core::message::{AttributeData, AttributeValue};

    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was() {
        let binary =
            AttributeValue { data_type: "Binary.png".into(), value: AttributeData::Binary(vec![0, 255].into()) };
        let message = Outgoing {
            body: "{\"a\": 1}".into(),
            attributes: [("b".to_owned(), binary), ("type".to_owned(), AttributeValue::string("t"))].into(),
            delay_s: 0,
            group: Some("g".into()),
            deduplication_id: Some("d".into()),
        };
        let stored = encode(&message, None);
        let back = decode(&stored).expect("it is one");
        assert_eq!((format!("{:?}", back.message), back.wait), (format!("{message:?}"), None));
        for len in 0..stored.len() - message.body.len() {
            decode(&stored.slice(..len)).expect_err("it is too short");
        }
        decode(&Bytes::from_static(&[1, 0, 0, 0, b'7'])).expect_err("its header is no object");
    }
}
