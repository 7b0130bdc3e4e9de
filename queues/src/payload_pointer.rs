//! The pointers of the SQS Extended Client Library: a body that is too large for a queue is in S3,
//! and the message says where.

use serde_json::value::RawValue;
use wasq_core::aws::s3::ObjectRef;

/// The classes that the library's versions name. The first is written.
const CLASSES: [&str; 2] =
    ["software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"];
/// The attribute with the number of the body's bytes. The library's clients look for it.
pub const SIZE_ATTRIBUTE: &str = "ExtendedPayloadSize";

#[derive(serde::Serialize, serde::Deserialize)]
struct Location {
    #[serde(rename = "s3BucketName")]
    bucket: String,
    #[serde(rename = "s3Key")]
    key: String,
}

/// Where a body is, if the message is a pointer to it.
///
/// # Errors
/// It names the library's class, and not where the body is.
pub fn read(body: &str) -> Result<Option<ObjectRef>, String> {
    let parts: Result<Vec<&RawValue>, _> = serde_json::from_str(body);
    let Ok([class, location]) = parts.as_deref() else { return Ok(None) };
    let class: Option<String> = serde_json::from_str(class.get()).ok();
    if !class.is_some_and(|class| CLASSES.contains(&class.as_str())) {
        return Ok(None);
    }
    match serde_json::from_str::<Location>(location.get()) {
        Ok(Location { bucket, key }) if !bucket.is_empty() && !key.is_empty() => Ok(Some(ObjectRef { bucket, key })),
        Ok(_) => Err("the pointer to its body is broken: `/1/s3BucketName` or `/1/s3Key` is empty".into()),
        Err(error) => Err(format!("the pointer to its body is broken: in `/1` {error}")),
    }
}

/// The message that stands for a body in S3.
pub fn write(object: &ObjectRef) -> String {
    let location = Location { bucket: object.bucket.clone(), key: object.key.clone() };
    serde_json::to_string(&(CLASSES[0], location)).expect("it is plain data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_read_as_it_is_written_and_what_is_none_is_a_body() {
        let object = ObjectRef { bucket: "big".into(), key: "a\"b".into() };
        assert_eq!(read(&write(&object)), Ok(Some(object)));
        let old = r#"["com.amazon.sqs.javamessaging.MessageS3Pointer",{"s3BucketName":"big","s3Key":"5f0b"}]"#;
        assert_eq!(read(old).unwrap().unwrap().to_string(), "s3://big/5f0b");
        for body in ["", "{}", "[]", r#"["other",{"s3BucketName":"b","s3Key":"k"}]"#, r#"[1,2]"#, "text"] {
            assert_eq!(read(body), Ok(None), "{body}");
        }
        for location in ["{}", "7", r#"{"s3BucketName":"","s3Key":"k"}"#, r#"{"s3BucketName":"b","s3Key":7}"#] {
            let broken = format!("[\"{}\",{location}]", CLASSES[0]);
            assert!(read(&broken).unwrap_err().contains("`/1"), "{broken}");
        }
    }
}
