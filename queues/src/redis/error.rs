//! What Redis and its client call an error, and which of ours it is.

use std::time::Duration;

use redis::{ErrorKind, RedisError};

use crate::queue::QueueError;

/// A call's target, for its errors: which stream on which server.
#[derive(Clone, Debug)]
pub struct CallTarget {
    /// Host, port and database.
    endpoint: String,
    stream: Option<String>,
    /// The group that reads it.
    group: Option<String>,
}

impl CallTarget {
    pub fn server(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), stream: None, group: None }
    }

    pub fn stream(&self, name: &str, group: Option<&str>) -> Self {
        Self { stream: Some(name.to_owned()), group: group.map(str::to_owned), ..self.clone() }
    }

    /// The command that makes what is missing.
    fn remedy(&self) -> String {
        let stream = self.stream.as_deref().unwrap_or("STREAM");
        let group = self.group.as_deref().unwrap_or("GROUP");
        format!("make it with `wasq topology apply`, or XGROUP CREATE {stream} {group} 0 MKSTREAM")
    }

    pub fn no_stream(&self) -> QueueError {
        self.missing("there is no such stream")
    }

    pub fn no_group(&self) -> QueueError {
        let group = self.group.as_deref().unwrap_or_default();
        self.missing(&format!("the stream has no group {group:?}"))
    }

    fn missing(&self, what: &str) -> QueueError {
        QueueError::Permanent { code: "NotFound".into(), message: format!("{self}: {what}; {}", self.remedy()) }
    }

    /// The key holds something else.
    pub fn no_stream_but(&self, kind: &str) -> QueueError {
        let message = format!(
            "{self}: the key is a {kind}, not a stream. wasq reads streams only, since nothing says of an element of a list \
             whether it was handled; name another key in [….redis] stream"
        );
        QueueError::Permanent { code: "WrongType".into(), message }
    }
}

impl std::fmt::Display for CallTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { endpoint, stream, .. } = self;
        match stream {
            Some(stream) => write!(f, "the stream {stream:?} of Redis at {endpoint}"),
            None => write!(f, "Redis at {endpoint}"),
        }
    }
}

/// From the client's error to ours.
pub fn failed(target: &CallTarget, error: &RedisError) -> QueueError {
    let text = without_arguments(&error.to_string());
    match error.kind() {
        ErrorKind::Io if error.is_timeout() => transient("Timeout", format!("{target}: {text}")),
        ErrorKind::Io | ErrorKind::Client => transient("NoAnswer", format!("{target}: {text}")),
        ErrorKind::AuthenticationFailed => refused(target, "NOAUTH", &text),
        ErrorKind::InvalidClientConfig => configuration(format!("{target}: {text}")),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => transient("ProtocolError", format!("{target}: {text}")),
        _ => refused(target, error.code().unwrap_or("ERR"), &text),
    }
}

pub fn no_answer_in_time(target: &CallTarget, within: Duration) -> QueueError {
    transient("Timeout", format!("{target}: no answer within {within:?}"))
}

/// An answer of a kind that was not asked for.
pub fn unexpected(target: &CallTarget) -> QueueError {
    transient("ProtocolError", format!("{target}: the answer makes no sense; is it a Redis of 6.2 or later?"))
}

/// The task of a call has ended with the host.
pub fn given_up(target: &CallTarget, why: &tokio::task::JoinError) -> QueueError {
    transient("Client", format!("{target}: the call was given up: {why}"))
}

pub fn configuration(message: String) -> QueueError {
    QueueError::Permanent { code: "Configuration".into(), message }
}

fn transient(code: &str, message: String) -> QueueError {
    QueueError::Transient { code: code.into(), message }
}

/// A server that does not know a command says what it was called with: a body may be in it.
fn without_arguments(text: &str) -> String {
    let end = ["with args beginning with", ", args beginning with"].iter().filter_map(|mark| text.find(mark)).min();
    text[..end.unwrap_or(text.len())].trim_end_matches([' ', ',']).to_owned()
}

/// Redis says no.
fn refused(target: &CallTarget, code: &str, text: &str) -> QueueError {
    // In the error of a script the code stands in the text before Redis 7.
    let says = |word: &str| code == word || text.contains(&format!("{word} "));
    let permanent = |code: &str, hint: &str| QueueError::Permanent {
        code: code.to_owned(),
        message: format!("{target}: {text}{hint}"),
    };
    let passes = |code: &str, hint: &str| transient(code, format!("{target}: {text}{hint}"));
    if says("NOPERM") {
        let hint = "; give the user the right to it: docs/operate/redis.md lists what a host needs (ACL SETUSER)";
        return permanent("AccessRefused", hint);
    }
    if says("WRONGPASS") || says("NOAUTH") {
        return permanent("AccessRefused", "; check the user and the password in `url`");
    }
    if says("NOGROUP") || says("UNBLOCKED") {
        return permanent("NotFound", &format!("; {}", target.remedy()));
    }
    if says("WRONGTYPE") {
        return permanent("WrongType", "; the key is no stream: name another in [….redis] stream");
    }
    if says("MOVED") || says("ASK") || says("CROSSSLOT") {
        let hint = "; this is one shard of a cluster: name a server, or an endpoint that hides the cluster";
        return permanent("Cluster", hint);
    }
    if says("OOM") {
        let hint = "; its memory is full: raise maxmemory, or find out why messages are not taken";
        return passes("OutOfMemory", hint);
    }
    if says("READONLY") {
        return passes("ReadOnly", "; it is a replica: name the primary in `url`, or wait for its failover");
    }
    if says("MISCONF") {
        return passes("Misconfigured", "; it takes no writes until it can save to its disk again");
    }
    for code in ["LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY"] {
        if says(code) {
            return passes(code, "");
        }
    }
    if text.contains("DB index") {
        return permanent("NoDatabase", "; name another database at the end of `url`");
    }
    passes("ServerError", "")
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    /// The client's error for a line of Redis.
    fn error(line: &str) -> RedisError {
        let answer = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("it is an answer");
        match answer {
            Value::ServerError(error) => error.into(),
            other => panic!("{other:?} is no error"),
        }
    }

    #[test]
    fn an_error_says_where_why_and_what_to_do() {
        let target = CallTarget::server("a:6379/0").stream("orders", Some("wasq"));
        let check = |line: &str, passes: bool, code: &str, expect: &[&str]| {
            let error = failed(&target, &error(line));
            assert_eq!(matches!(error, QueueError::Transient { .. }), passes, "{error}");
            assert_eq!(error.code(), code, "{error}");
            let text = error.to_string();
            assert!(text.contains("\"orders\" of Redis at a:6379/0"), "{text}");
            expect.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));
        };
        let denied = "NOPERM this user has no permissions to run the 'xadd' command";
        check(denied, false, "AccessRefused", &["xadd", "ACL SETUSER"]);
        check("WRONGPASS invalid username-password pair", false, "AccessRefused", &["password in `url`"]);
        check("NOAUTH Authentication required.", false, "AccessRefused", &["password in `url`"]);
        let no_group = "NOGROUP No such key 'orders' or consumer group 'wasq'";
        check(no_group, false, "NotFound", &["topology apply", "XGROUP CREATE orders wasq 0 MKSTREAM"]);
        let old = "ERR Error running script (call to f_1): @user_script:5: -NOGROUP No such key 'orders'";
        check(old, false, "NotFound", &["topology apply"]);
        check("UNBLOCKED the stream key no longer exists", false, "NotFound", &["topology apply"]);
        check("WRONGTYPE Operation against a key", false, "WrongType", &["[….redis] stream"]);
        check("MOVED 866 10.0.0.1:6379", false, "Cluster", &["hides the cluster"]);
        check("OOM command not allowed when used memory > 'maxmemory'.", true, "OutOfMemory", &["memory is full"]);
        check("READONLY You can't write against a read only replica.", true, "ReadOnly", &["the primary"]);
        check("LOADING Redis is loading the dataset in memory", true, "LOADING", &[]);
        check("MASTERDOWN Link with MASTER is down", true, "MASTERDOWN", &[]);
        check("MISCONF Redis is configured to save RDB snapshots", true, "Misconfigured", &[]);
        check("ERR something else", true, "ServerError", &["something else"]);
        assert!(failed(&target, &error(denied)).says_denied() && failed(&target, &error(no_group)).says_missing());
    }

    #[test]
    fn what_a_command_was_called_with_is_not_said() {
        let line = "ERR unknown command 'XADD', with args beginning with: 'orders' '*' 'body' 'a secret' ";
        let text = failed(&CallTarget::server("a:1/0"), &error(line)).to_string();
        assert!(text.contains("XADD") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn what_comes_from_the_connection_may_pass() {
        let target = CallTarget::server("a:6379/0");
        let refused = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        let error = failed(&target, &refused);
        assert!(matches!(&error, QueueError::Transient { code, .. } if code == "NoAnswer"), "{error}");
        let late = RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        assert_eq!(failed(&target, &late).code(), "Timeout");
        assert!(configuration("x".into()).needs_other_settings());
    }
}
