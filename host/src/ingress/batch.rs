//! The messages of one request: its body, or each line or element of it.

use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::failure::Failure;

/// The media type of a message a line.
pub const NDJSON: &str = "application/x-ndjson";

/// What a request's body holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Bodies {
    One(Bytes),
    /// Answered one by one.
    Many(Vec<Bytes>),
}

impl Bodies {
    /// `is_batch` is what the client says of it; none leaves it to the body: an array is several.
    pub fn read(body: Bytes, media: &str, is_batch: Option<bool>, max: usize) -> Result<Self, Failure> {
        let all: Vec<Bytes> = if media == NDJSON {
            let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
            lines.map(|line| body.slice_ref(line)).collect()
        } else if is_batch.unwrap_or_else(|| is_json(media) && body.trim_ascii_start().first() == Some(&b'[')) {
            let elements: Vec<&RawValue> = serde_json::from_slice(&body)
                .map_err(|error| Failure::bad(format!("the body is no JSON array: {error}")))?;
            elements.into_iter().map(|element| body.slice_ref(element.get().as_bytes())).collect()
        } else {
            return Ok(Self::One(body));
        };
        if all.is_empty() {
            return Err(Failure::bad("the body has no message in it"));
        }
        if all.len() > max {
            let reason = format!("the body has {} messages, and may have {max} (ingress.max_messages)", all.len());
            return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, reason));
        }
        Ok(Self::Many(all))
    }

    pub fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(all) => all.len(),
        }
    }
}

pub fn is_json(media: &str) -> bool {
    media == "application/json" || media.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(body: &'static str, media: &str) -> Vec<Bytes> {
        match Bodies::read(Bytes::from_static(body.as_bytes()), media, None, 3) {
            Ok(Bodies::Many(all)) => all,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_and_elements_are_messages_byte_for_byte() {
        assert_eq!(many("{\"a\": 1}\r\n\n{\"b\":2}\n", NDJSON), ["{\"a\": 1}", "{\"b\":2}"]);
        assert_eq!(many(" [ {\"a\": 1.50} ,2]", "application/json"), ["{\"a\": 1.50}", "2"]);
        let one = |body: &'static str, media, is_batch| Bodies::read(Bytes::from(body), media, is_batch, 3);
        assert_eq!(one("{}", "application/json", None), Ok(Bodies::One("{}".into())));
        assert_eq!(one("[1]", "application/json", Some(false)), Ok(Bodies::One("[1]".into())));
        assert_eq!(one("[1]", "text/plain", None), Ok(Bodies::One("[1]".into())));
    }

    #[test]
    fn none_and_too_many_are_refused() {
        let read = |body: &'static str| Bodies::read(Bytes::from(body), NDJSON, None, 3).expect_err(body);
        assert_eq!(read("\n \n").status, StatusCode::BAD_REQUEST);
        assert_eq!(read("1\n2\n3\n4").status, StatusCode::PAYLOAD_TOO_LARGE);
        let broken = Bodies::read(Bytes::from("[1,"), "application/json", None, 3).expect_err("it is cut off");
        assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    }
}
