//! The right to have deliveries in hand: a permit of their queue's `concurrency`, or one of the room
//! for those that wait for a rate. A message that waits gives the first up for the second, so that
//! its queue goes on receiving what can run.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one delivery, or one group of them, holds until it is settled.
#[derive(Debug, Default)]
pub struct InHand(Mutex<Option<OwnedSemaphorePermit>>);

impl InHand {
    pub fn new(permit: Option<OwnedSemaphorePermit>) -> Self {
        Self(Mutex::new(permit))
    }

    /// Goes over to this room, if there is any left. The answer is whether it is there, or was
    /// before.
    pub fn wait_in(&self, room: &Arc<Semaphore>) -> bool {
        let mut held = self.0.lock();
        if held.as_ref().is_some_and(|permit| Arc::ptr_eq(permit.semaphore(), room)) {
            return true;
        }
        match room.clone().try_acquire_owned() {
            Ok(permit) => {
                *held = Some(permit);
                true
            }
            Err(_none_left) => false,
        }
    }
}
