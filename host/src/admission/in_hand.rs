//! The right to have deliveries in hand: a permit of their queue's `concurrency`, or one of the
//! room for those that wait, for a rate or for their key. A message that waits gives the first up
//! for the second, so that its queue goes on receiving what can run.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use wasq_core::message::UnixMs;

use super::turns::KeyTurn;

/// What one delivery, or one group of them, holds until it is settled.
#[derive(Debug, Default)]
pub struct InHand(Mutex<Held>);

#[derive(Debug, Default)]
enum Held {
    #[default]
    Nothing,
    Permit(OwnedSemaphorePermit),
    /// Its turn among the keys of its queue.
    Turn(#[expect(dead_code, reason = "its drop is what counts")] KeyTurn),
}

/// A message that may have to wait.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    pub sent_at: UnixMs,
    /// It was received before, and may have been hidden.
    pub is_returned: bool,
    /// What it holds, and the room in which its queue's messages wait.
    pub in_hand: &'a InHand,
    pub room: &'a Arc<Semaphore>,
}

impl Claimant<'_> {
    /// The answer, once there is one. A message that waits in the place of a newer one goes over to
    /// the room as soon as that one has left it; until then its queue receives one message less.
    pub async fn waits_for<T>(&self, mut answer: oneshot::Receiver<T>) -> Result<T, oneshot::error::RecvError> {
        if !self.in_hand.is_in(self.room) {
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                permit = self.room.clone().acquire_owned() => {
                    let permit = permit.expect("the semaphore is never closed");
                    let before = std::mem::replace(&mut *self.in_hand.0.lock(), Held::Permit(permit));
                    drop(before);
                }
            }
        }
        answer.await
    }
}

impl InHand {
    pub fn new(permit: Option<OwnedSemaphorePermit>) -> Self {
        Self(Mutex::new(permit.map_or(Held::Nothing, Held::Permit)))
    }

    fn is_in(&self, room: &Arc<Semaphore>) -> bool {
        matches!(&*self.0.lock(), Held::Permit(permit) if Arc::ptr_eq(permit.semaphore(), room))
    }

    /// Goes over to this room, if there is any left. The answer is whether it is there, or was
    /// before.
    pub fn wait_in(&self, room: &Arc<Semaphore>) -> bool {
        if self.is_in(room) {
            return true;
        }
        let mut held = self.0.lock();
        match room.clone().try_acquire_owned() {
            Ok(permit) => {
                *held = Held::Permit(permit);
                true
            }
            Err(_none_left) => false,
        }
    }

    /// It has its turn from now on, in place of what it had.
    pub fn take_turn(&self, turn: KeyTurn) {
        let before = std::mem::replace(&mut *self.0.lock(), Held::Turn(turn));
        drop(before);
    }

    /// Whether it has its turn: one of its records has waited for that.
    pub fn has_turn(&self) -> bool {
        matches!(*self.0.lock(), Held::Turn(_))
    }
}
