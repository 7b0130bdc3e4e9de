//! The ways in which a message's work was not done.

use std::error::Error;
use std::time::Duration;

use crate::http::HttpFault;

/// The work was not done.
///
/// `?` makes one of any error (and of a `&str` or a `String`): a [`Failure::Retry`] whose reason is
/// the error and all its sources. An [`HttpError`](crate::http::HttpError), wherever in the chain
/// of sources it stands, is a [`Failure::Unavailable`] when its host was unavailable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Try again later; counts an attempt.
    Retry {
        /// What went wrong; for the log, and for the dead letter of the last attempt.
        reason: String,
        /// When to try again, in whole milliseconds; without it, by the manifest's backoff.
        after: Option<Duration>,
    },
    /// A dependency is down: try again when it is back, without counting an attempt.
    Unavailable {
        /// What was unavailable: a host name, or any other stable name. Its breaker is the one that
        /// opens.
        dependency: String,
        /// How that showed.
        reason: String,
        /// When it will be back, if it said so.
        after: Option<Duration>,
    },
    /// This message can never succeed, for this reason: dead-letter it now.
    Reject {
        /// What is wrong with the message; for whoever reads the dead letter.
        reason: String,
    },
}

impl Failure {
    /// Try again later, by the manifest's backoff unless [`Failure::after`] says when; counts an
    /// attempt.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { reason: reason.into(), after: None }
    }

    /// This dependency is down: try again when it is back, without counting an attempt.
    pub fn unavailable(dependency: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unavailable { dependency: dependency.into(), reason: reason.into(), after: None }
    }

    /// This message can never succeed: dead-letter it now.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self::Reject { reason: reason.into() }
    }

    /// Says when to try again. A reject is not tried again, and stays as it is.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        match &mut self {
            Self::Retry { after, .. } | Self::Unavailable { after, .. } => *after = Some(delay),
            Self::Reject { .. } => {}
        }
        self
    }

    /// What went wrong, whatever is to be done about it.
    pub fn reason(&self) -> &str {
        match self {
            Self::Retry { reason, .. } | Self::Unavailable { reason, .. } | Self::Reject { reason } => reason,
        }
    }

    /// The same failure, saying in which part of the work it happened.
    pub(crate) fn within(mut self, place: &str) -> Self {
        match &mut self {
            Self::Retry { reason, .. } | Self::Unavailable { reason, .. } | Self::Reject { reason } => {
                *reason = format!("{place}: {reason}");
            }
        }
        self
    }
}

/// `Failure` is no `Error` itself, so that this holds for all errors. The bound takes in `&str`,
/// `String`, boxed errors and `anyhow::Error` too.
impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let reason = chain_text(&*error);
        match sources(&*error).find_map(|source| source.downcast_ref::<HttpFault>()) {
            Some(fault) if fault.is_unavailable() => {
                Self::Unavailable { dependency: fault.host().to_owned(), reason, after: fault.retry_after() }
            }
            Some(_) | None => Self::Retry { reason, after: None },
        }
    }
}

/// How deep a chain of sources is followed: an error that is its own source must not hang the
/// handler.
const MAX_SOURCES: usize = 16;

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source()).take(MAX_SOURCES)
}

/// The error and its sources, each once: many errors already end with the text of their source.
pub(crate) fn chain_text(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for source in sources(error) {
        let link = source.to_string();
        if text.is_empty() {
            text = link;
        } else if !text.ends_with(&link) {
            text.push_str(": ");
            text.push_str(&link);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(Option<std::io::Error>, &'static str);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.1)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.0.as_ref().map(|error| error as _)
        }
    }

    #[test]
    fn any_error_is_a_retry_with_its_sources() {
        fn check(error: impl Into<Failure>, expect: &str) {
            assert_eq!(error.into(), Failure::retry(expect));
        }
        check("text", "text");
        check("text".to_owned(), "text");
        check(Outer(None, "outer"), "outer");
        check(Outer(Some(std::io::Error::other("inner")), "outer"), "outer: inner");
        check(Outer(Some(std::io::Error::other("inner")), "outer: inner"), "outer: inner");
        check(Box::<dyn Error + Send + Sync>::from("boxed"), "boxed");
        check(anyhow::anyhow!("inner").context("outer"), "outer: inner");
    }

    #[test]
    fn after_says_when_but_not_for_a_reject() {
        let delay = Duration::from_secs(3);
        assert_eq!(Failure::retry("r").after(delay), Failure::Retry { reason: "r".into(), after: Some(delay) });
        assert_eq!(
            Failure::unavailable("d", "r").after(delay),
            Failure::Unavailable { dependency: "d".into(), reason: "r".into(), after: Some(delay) }
        );
        assert_eq!(Failure::reject("r").after(delay), Failure::reject("r"));
    }
}
