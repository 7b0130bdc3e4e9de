//! A queue as the host and the command line send to it.

use std::sync::Arc;

use wasq_core::aws::s3::S3;
use wasq_queues::{ClaimCheckQueue, Queue};

use crate::config::{AwsConfig, ClaimCheck};

/// With its large bodies in S3, where the config names a bucket.
pub fn sent_to(queue: &Arc<dyn Queue>, s3: Option<S3>, check: Option<&ClaimCheck>) -> Arc<dyn Queue> {
    let queue = queue.clone();
    match (s3, check) {
        (Some(s3), Some(check)) => Arc::new(ClaimCheckQueue::new(queue, s3, check.bucket.clone(), check.over_bytes)),
        (None, _) | (_, None) => queue,
    }
}

/// As [`sent_to`], with a client of S3 of its own.
pub fn outlet_queue(queue: &Arc<dyn Queue>, aws: &AwsConfig, check: Option<&ClaimCheck>) -> Arc<dyn Queue> {
    sent_to(queue, check.map(|_| S3::new(aws, queue.region())), check)
}
