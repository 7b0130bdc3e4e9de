use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use wasq_core::message::{Attributes, Delivery, Receipt};

use super::*;
use crate::attributes::QueueAttributes;

/// Takes what is sent, but for one body.
struct Refusing {
    name: &'static str,
    refused: &'static str,
    taken: Mutex<Vec<String>>,
}

#[async_trait]
impl Queue for Refusing {
    fn name(&self) -> &str {
        self.name
    }

    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Delivery>, QueueError> {
        Ok(Vec::new())
    }

    async fn delete(&self, _: &[Receipt]) -> Vec<Result<(), QueueError>> {
        Vec::new()
    }

    async fn change_visibility(&self, _: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        Vec::new()
    }

    async fn send(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        let mut taken = self.taken.lock();
        let mut take = |message: &Outgoing| {
            let body = String::from_utf8(message.body.to_vec()).unwrap();
            if body == self.refused {
                return Err(QueueError::Transient { code: "InternalError".into(), message: String::new() });
            }
            taken.push(body.clone());
            Ok(MessageId(body))
        };
        messages.iter().map(&mut take).collect()
    }

    async fn attributes(&self) -> Result<QueueAttributes, QueueError> {
        Ok(QueueAttributes::new())
    }
}

/// The bodies begin with their group's letter.
async fn check(name: &'static str, bodies: &[&str], refused: &'static str, sent: &[&str]) {
    let queue = Refusing { name, refused, taken: Mutex::default() };
    let message = |body: &&str| Outgoing {
        body: body.as_bytes().to_vec().into(),
        attributes: Attributes::new(),
        delay_s: 0,
        group: Some(body[..1].to_owned()),
        deduplication_id: None,
    };
    let messages: Vec<_> = bodies.iter().map(message).collect();
    let answers = send_in_order(&queue, &messages).await;
    let mut expect: Vec<_> = bodies.iter().filter(|body| sent.contains(body)).copied().collect();
    let accepted: Vec<_> = answers.into_iter().flatten().map(|id| id.0).collect();
    assert_eq!(accepted, expect, "{bodies:?}");
    let mut taken = queue.taken.into_inner();
    taken.sort_by_key(|body| body[..1].to_owned());
    expect.sort_by_key(|body| body[..1].to_owned());
    assert_eq!(taken, expect, "each group's in its order");
}

#[tokio::test]
async fn a_group_ends_at_its_first_failure_and_the_others_go_on() {
    check("q.fifo", &["a1", "a2", "b1", "a3", "b2"], "a2", &["a1", "b1", "b2"]).await;
    check("q.fifo", &["a1", "a2"], "a1", &[]).await;
    check("q.fifo", &["a1", "b1", "a2"], "", &["a1", "b1", "a2"]).await;
    check("q", &["a1", "a2", "b1"], "a1", &["a2", "b1"]).await;
    check("q.fifo", &[], "", &[]).await;
}

#[tokio::test]
async fn many_groups_take_several_batches() {
    let bodies: Vec<String> = (0..26u8).flat_map(|n| [1, 2].map(|k| format!("{}{k}", (b'a' + n) as char))).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    check("q.fifo", &bodies, "", &bodies).await;
}
