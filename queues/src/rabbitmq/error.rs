//! What RabbitMQ and its client call an error, and which of ours it is.

use lapin::ErrorKind;
use lapin::protocol::AMQPError;

use crate::queue::QueueError;

/// A call's target, for its errors: which queue of which vhost on which node.
#[derive(Clone, Debug)]
pub struct CallTarget {
    node: String,
    vhost: String,
    /// What the call is about: `the queue "orders"`.
    what: Option<String>,
}

impl CallTarget {
    pub fn node(node: &str, vhost: &str) -> Self {
        Self { node: node.to_owned(), vhost: vhost.to_owned(), what: None }
    }

    pub fn queue(&self, name: &str) -> Self {
        Self { what: Some(format!("the queue {name:?}")), ..self.clone() }
    }

    pub fn exchange(&self, name: &str) -> Self {
        let what = if name.is_empty() { "the default exchange".to_owned() } else { format!("the exchange {name:?}") };
        Self { what: Some(what), ..self.clone() }
    }
}

impl std::fmt::Display for CallTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { node, vhost, what } = self;
        match what {
            Some(what) => write!(f, "{what} in the vhost {vhost:?} of RabbitMQ at {node}"),
            None => write!(f, "the vhost {vhost:?} of RabbitMQ at {node}"),
        }
    }
}

/// From the client's error to ours.
pub fn failed(target: &CallTarget, error: &lapin::Error) -> QueueError {
    match error.kind() {
        ErrorKind::ProtocolError(error) => refused(target, error),
        // What a message has too much of is found before it is sent.
        ErrorKind::SerialisationError(_) | ErrorKind::InvalidProtocolVersion(_) | ErrorKind::AuthProviderError(_) => {
            QueueError::Permanent { code: "Client".into(), message: format!("{target}: {error}") }
        }
        ErrorKind::InvalidChannel(_) | ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(_) => {
            let message = format!("{target}: the connection has ended");
            QueueError::Transient { code: "ConnectionLost".into(), message }
        }
        ErrorKind::IOError(io) => no_answer(target, io),
        ErrorKind::MissingHeartbeatError => no_answer(target, error),
        _ => QueueError::Transient { code: "Client".into(), message: format!("{target}: {error}") },
    }
}

/// From the way there, or what is at its end.
pub fn no_answer(target: &CallTarget, why: &dyn std::fmt::Display) -> QueueError {
    QueueError::Transient { code: "NoAnswer".into(), message: format!("{target}: {why}") }
}

pub fn no_answer_in_time(target: &CallTarget, within: std::time::Duration) -> QueueError {
    QueueError::Transient { code: "Timeout".into(), message: format!("{target}: no answer within {within:?}") }
}

pub fn configuration(message: String) -> QueueError {
    QueueError::Permanent { code: "Configuration".into(), message }
}

/// RabbitMQ says no.
fn refused(target: &CallTarget, error: &AMQPError) -> QueueError {
    let text = error.get_message().as_str();
    let (code, passes, hint) = reading(error.get_id(), text, target.what.is_some());
    let (code, message) = (code.to_owned(), format!("{target}: {text}{hint}"));
    if passes { QueueError::Transient { code, message } } else { QueueError::Permanent { code, message } }
}

/// What a reply code means with its text: our code, whether it may pass by itself, and the way out.
/// The codes are AMQP's; the texts are RabbitMQ's.
fn reading(id: u16, text: &str, is_of_channel: bool) -> (&'static str, bool, &'static str) {
    match id {
        403 if is_of_channel => (
            "AccessRefused",
            false,
            "; give the user the right to it (rabbitmqctl set_permissions, or the page Admin of RabbitMQ's interface)",
        ),
        403 => ("AccessRefused", false, "; check the user and the password in `url`"),
        // A queue whose node is away is not found, either.
        404 if text.contains("is down or inaccessible") || text.contains("stopped by supervisor") => {
            ("NotFound", true, "; its node must come back")
        }
        404 => ("NotFound", false, "; make it (`wasq topology apply` makes queues), or name another"),
        405 => ("ResourceLocked", true, "; another connection has it for itself"),
        406 if text.contains("delivery acknowledgement") && text.contains("timed out") => (
            "ConsumerTimeout",
            true,
            "; a message was in hand for longer than the server's `consumer_timeout`: set that above the longest `timeout` \
             of a handler",
        ),
        406 => ("PreconditionFailed", false, ""),
        530 if text.contains("limit") || text.contains("is down") => ("NotAllowed", true, ""),
        530 => (
            "NotAllowed",
            false,
            "; make the vhost (rabbitmqctl add_vhost) and give the user its rights, or name another at the end of `url`",
        ),
        320 => ("ConnectionForced", true, ""),
        506 => ("ResourceError", true, ""),
        541 => ("InternalError", true, ""),
        _ => ("ProtocolError", true, ""),
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

    use super::*;

    #[test]
    fn an_error_says_where_why_and_what_to_do() {
        let node = CallTarget::node("a:5672", "/v");
        let check = |target: &CallTarget, kind: AMQPErrorKind, text: &str, passes: bool, expect: &[&str]| {
            let error = lapin::Error::from(ErrorKind::ProtocolError(AMQPError::new(kind, text.into())));
            let error = failed(target, &error);
            assert_eq!(matches!(error, QueueError::Transient { .. }), passes, "{error}");
            let words = error.to_string();
            for part in expect {
                assert!(words.contains(part), "{part}: {words}");
            }
        };
        let queue = node.queue("orders");
        let soft = |error| AMQPErrorKind::Soft(error);
        check(
            &queue,
            soft(AMQPSoftError::NOTFOUND),
            "NOT_FOUND - no queue 'orders' in vhost '/v'",
            false,
            &["NotFound: the queue \"orders\" in the vhost \"/v\" of RabbitMQ at a:5672", "topology apply"],
        );
        let down = "NOT_FOUND - home node 'rabbit@b' of durable queue 'orders' in vhost '/v' is down or inaccessible";
        check(&queue, soft(AMQPSoftError::NOTFOUND), down, true, &["its node must come back"]);
        check(&queue, soft(AMQPSoftError::ACCESSREFUSED), "ACCESS_REFUSED - …", false, &["set_permissions"]);
        check(&node, soft(AMQPSoftError::ACCESSREFUSED), "ACCESS_REFUSED - Login …", false, &["the password in `url`"]);
        let hard = |error| AMQPErrorKind::Hard(error);
        check(&node, hard(AMQPHardError::NOTALLOWED), "NOT_ALLOWED - vhost /v not found", false, &["add_vhost"]);
        let full = "NOT_ALLOWED - access to vhost '/v' refused for user 'u': connection limit (5) is reached";
        check(&node, hard(AMQPHardError::NOTALLOWED), full, true, &["connection limit"]);
        let late =
            "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms.";
        check(&queue, soft(AMQPSoftError::PRECONDITIONFAILED), late, true, &["ConsumerTimeout", "longest `timeout`"]);
        check(&queue, soft(AMQPSoftError::PRECONDITIONFAILED), "inequivalent arg", false, &["PreconditionFailed"]);
        let bye = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
        check(&node, hard(AMQPHardError::CONNECTIONFORCED), bye, true, &["ConnectionForced", "a:5672"]);
    }

    #[test]
    fn what_comes_from_the_way_there_may_pass() {
        let target = CallTarget::node("a:5672", "/");
        let error = failed(&target, &std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into());
        assert!(matches!(&error, QueueError::Transient { code, .. } if code == "NoAnswer"), "{error}");
        let error = failed(&target, &ErrorKind::InvalidConnectionState(lapin::ConnectionState::Closed).into());
        assert!(matches!(&error, QueueError::Transient { code, .. } if code == "ConnectionLost"), "{error}");
    }
}
