//! What is left of a message in S3 when it is off its queue.

use wasq_core::aws::s3::{ObjectRef, S3};

/// A body that is to be deleted behind its message.
pub struct Leftover {
    s3: S3,
    object: ObjectRef,
}

impl Leftover {
    pub fn new(s3: S3, object: ObjectRef) -> Self {
        Self { s3, object }
    }

    pub async fn delete(self) {
        if let Err(error) = self.s3.delete(&self.object).await {
            tracing::warn!(%error, "the body of a message that is done stays in its bucket");
        }
    }
}
