//! Bodies that are too large for a queue (the claim check pattern). The message is a pointer of the
//! SQS Extended Client Library; the host fetches the body before it decodes the message.
//!
//! The delivery keeps the pointer: its dead letter is the message as it was sent, and a replay
//! fetches the body again.

use std::time::Duration;

use wasq_core::aws::CallError;
use wasq_core::aws::s3::{ObjectRef, S3Error};
use wasq_core::message::Delivery;

use super::decode;
use super::leftover::Leftover;
use super::services::{QueueRuntime, Services};
use crate::exit::Exit;

/// Deliveries for which a body that is not there is waited for: it may be on its way to a bucket
/// that is replicated.
const WAITS: u32 = 3;
/// The wait for it, longer each time.
const WAIT: Duration = Duration::from_secs(10);

/// A delivery with the body that its pointer leads to.
pub struct Fetched {
    pub delivery: Delivery,
    object: ObjectRef,
}

/// Fetches what the delivery points to; none if it is the message itself.
pub async fn fetch(services: &Services, runtime: &QueueRuntime, delivery: &Delivery) -> Result<Option<Fetched>, Exit> {
    let (Some(s3), Some(bucket)) = (&runtime.s3, &runtime.config.claim_check_bucket) else { return Ok(None) };
    let pointer = decode::pointer(delivery, &runtime.config).map_err(|reason| Exit::Invalid { reason })?;
    let Some((object, opened)) = pointer else { return Ok(None) };
    if object.bucket != *bucket {
        let reason = format!("its body is at {object}, and the queue's claim_check_bucket is `{bucket}`");
        return Err(Exit::Invalid { reason });
    }
    let max_bytes = services.limits.payload_bytes.min(services.catalogs.current().largest_body());
    match s3.get(&object, max_bytes).await.map(|body| opened.wrapped(body)) {
        Ok(Some(body)) => Ok(Some(Fetched { delivery: Delivery { body, ..delivery.clone() }, object })),
        Ok(None) => Err(Exit::Invalid { reason: format!("{object} is not UTF-8, and the envelope around it is text") }),
        Err(error) => Err(failed(&error, bucket, delivery.receive_count)),
    }
}

fn failed(error: &S3Error, bucket: &str, receive_count: u32) -> Exit {
    let reason = error.to_string();
    let unavailable = |after| Exit::Unavailable { dependency: format!("s3://{bucket}"), reason: reason.clone(), after };
    match error {
        S3Error::Missing(_) if receive_count <= WAITS => unavailable(Some(WAIT * receive_count)),
        S3Error::Missing(_) => Exit::Reject { reason: format!("the body of the message is gone: {reason}") },
        S3Error::TooLarge { .. } => Exit::Invalid {
            reason: format!(
                "{reason}; the least of limits.payload_bytes and the plugins' largest max_body allows no more"
            ),
        },
        S3Error::Failed { error: CallError::Unmade(_), .. } => Exit::Invalid { reason },
        // Rights and buckets are corrected while the message waits.
        S3Error::Failed { .. } => unavailable(None),
    }
}

impl Fetched {
    /// What is left to do once the message is deleted and needs its body no more.
    pub fn leftover(self, runtime: &QueueRuntime) -> Option<Box<Leftover>> {
        let s3 = runtime.s3.clone().filter(|_| runtime.config.delete_payload)?;
        Some(Box::new(Leftover::new(s3, self.object)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_waited_for_and_then_given_up() {
        let object = || ObjectRef { bucket: "big".into(), key: "k".into() };
        let class = |error: &S3Error, receives| failed(error, "big", receives).class();
        let missing = S3Error::Missing(object());
        assert_eq!(
            (class(&missing, 1), class(&missing, 3), class(&missing, 4)),
            ("unavailable", "unavailable", "reject")
        );
        assert_eq!(class(&S3Error::TooLarge { object: object(), max_bytes: 1 }, 1), "invalid");
        let denied = S3Error::Failed { object: object(), error: CallError::Refused { status: 403, code: None } };
        assert_eq!(class(&denied, 9), "unavailable");
    }
}
