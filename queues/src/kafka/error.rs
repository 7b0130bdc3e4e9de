//! What Kafka and its client call an error, and which of ours it is.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::queue::QueueError;

/// A call's target, for its errors: which topic of which Kafka.
#[derive(Clone, Debug)]
pub struct CallTarget {
    url: String,
    /// What the call is about: `the topic "orders"`.
    what: Option<String>,
}

impl CallTarget {
    pub fn server(url: &str) -> Self {
        Self { url: url.to_owned(), what: None }
    }

    pub fn topic(&self, name: &str) -> Self {
        Self { what: Some(format!("the topic {name:?}")), ..self.clone() }
    }

    pub fn group(&self, topic: &str, group: &str) -> Self {
        Self { what: Some(format!("the topic {topic:?} for the group {group:?}")), ..self.clone() }
    }
}

impl std::fmt::Display for CallTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.what {
            Some(what) => write!(f, "{what} of Kafka at {}", self.url),
            None => write!(f, "Kafka at {}", self.url),
        }
    }
}

/// From the client's error to ours. `reason` is what the client said of its brokers last.
pub fn failed(target: &CallTarget, error: &KafkaError, reason: Option<String>) -> QueueError {
    match error.rdkafka_error_code() {
        Some(code) => refused(target, code, reason),
        None => match error {
            // It would show the value of a setting.
            KafkaError::ClientConfig(_, why, key, _) => configuration(format!("{target}: {key}: {why}")),
            KafkaError::ClientCreation(why) => configuration(format!("{target}: {why}")),
            other => QueueError::Transient { code: "Client".into(), message: format!("{target}: {other}") },
        },
    }
}

/// From a code of Kafka's, or of its client, to ours.
pub fn refused(target: &CallTarget, code: RDKafkaErrorCode, reason: Option<String>) -> QueueError {
    let (name, passes, hint) = reading(code);
    let why = reason.filter(|_| name == "NoAnswer" || code == RDKafkaErrorCode::Authentication);
    let why = why.unwrap_or_else(|| code.to_string());
    let (code, message) = (name.to_owned(), format!("{target}: {why}{hint}"));
    if passes { QueueError::Transient { code, message } } else { QueueError::Permanent { code, message } }
}

pub fn configuration(message: String) -> QueueError {
    QueueError::Permanent { code: "Configuration".into(), message }
}

pub fn no_answer_in_time(target: &CallTarget, within: std::time::Duration, reason: Option<String>) -> QueueError {
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    QueueError::Transient { code: "NoAnswer".into(), message: format!("{target}: no answer within {within:?}{reason}") }
}

/// What a code means: our code, whether it may pass by itself, and the way out.
fn reading(code: RDKafkaErrorCode) -> (&'static str, bool, &'static str) {
    use RDKafkaErrorCode as Code;
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            ("NotFound", false, "; make it (`wasq topology apply` makes topics), or name another")
        }
        Code::TopicAuthorizationFailed => (
            "AccessRefused",
            false,
            "; give the user the right to it (kafka-acls.sh --add: Read and Describe to receive, Write to send)",
        ),
        Code::GroupAuthorizationFailed => {
            ("AccessRefused", false, "; give the user the right to the group (kafka-acls.sh --add --group: Read)")
        }
        Code::ClusterAuthorizationFailed | Code::TransactionalIdAuthorizationFailed => {
            ("AccessRefused", false, "; give the user the right (kafka-acls.sh --add)")
        }
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
            ("AccessRefused", false, "; check the user and the password in `url`, and `sasl_mechanism`")
        }
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => {
            ("TooLarge", false, "; send less, or raise `message_max_bytes` and the topic's `max.message.bytes` alike")
        }
        Code::FencedInstanceId => (
            "FencedInstance",
            false,
            "; another host of the group has this `group_instance_id`: give each its own, or take the key away",
        ),
        Code::InvalidTopic | Code::PolicyViolation | Code::InvalidPartitions | Code::InvalidReplicationFactor => {
            ("InvalidTopic", false, "")
        }
        Code::InconsistentGroupProtocol => (
            "GroupProtocol",
            false,
            "; another program reads in this group by another protocol: give the host a group of its own",
        ),
        Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::Resolve
        | Code::SSL
        | Code::BrokerNotAvailable
        | Code::NetworkException => ("NoAnswer", true, ""),
        Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut | Code::TimedOutQueue => {
            ("Timeout", true, "")
        }
        Code::QueueFull => ("Busy", true, ""),
        _ => ("Kafka", true, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_why_and_what_to_do() {
        let server = CallTarget::server("kafka://a:9092");
        let check = |target: &CallTarget, code, passes: bool, expect: &[&str]| {
            let error = refused(target, code, Some("a:9092: Connection refused".into()));
            assert_eq!(matches!(error, QueueError::Transient { .. }), passes, "{error}");
            let text = error.to_string();
            expect.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));
        };
        use RDKafkaErrorCode as Code;
        let (topic, group) = (server.topic("orders"), server.group("orders", "shop"));
        check(
            &topic,
            Code::UnknownTopicOrPartition,
            false,
            &["NotFound: the topic \"orders\" of Kafka at kafka://a:9092", "topology apply"],
        );
        check(&topic, Code::TopicAuthorizationFailed, false, &["AccessRefused", "kafka-acls.sh"]);
        check(&group, Code::GroupAuthorizationFailed, false, &["AccessRefused", "the group \"shop\"", "--group"]);
        check(&server, Code::Authentication, false, &["AccessRefused", "`sasl_mechanism`"]);
        check(&topic, Code::MessageSizeTooLarge, false, &["TooLarge", "`message_max_bytes`"]);
        check(&group, Code::FencedInstanceId, false, &["FencedInstance", "give each its own"]);
        check(&server, Code::AllBrokersDown, true, &["NoAnswer", "a:9092: Connection refused"]);
        check(&topic, Code::MessageTimedOut, true, &["Timeout"]);
        check(&topic, Code::NotEnoughReplicas, true, &["Kafka:"]);
    }

    #[test]
    fn no_setting_is_shown_in_an_error() {
        let value = "pa55".to_owned();
        let error = KafkaError::ClientConfig(
            rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "Invalid value".into(),
            "sasl.password".into(),
            value,
        );
        let error = failed(&CallTarget::server("kafka://a:9092"), &error, None);
        assert!(error.needs_other_settings() && !error.to_string().contains("pa55"), "{error}");
    }
}
