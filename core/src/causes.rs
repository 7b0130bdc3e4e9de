//! An error and what stands behind it.

use std::error::Error;

/// The error, its cause, the cause's cause.
pub fn with_causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// An error and its causes, in words. A cause that the words before it have said is not said again.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut words = String::new();
    for said in with_causes(error).map(ToString::to_string) {
        if !words.ends_with(&said) {
            words.push_str(if words.is_empty() { "" } else { ": " });
            words.push_str(&said);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Said {
        text: &'static str,
        source: Option<Box<Said>>,
    }

    #[test]
    fn a_cause_is_said_once() {
        let root = Said { text: "refused", source: None };
        let middle = Said { text: "cannot connect: refused", source: Some(Box::new(root)) };
        let error = Said { text: "dispatch failure", source: Some(Box::new(middle)) };
        assert_eq!(causes(&error), "dispatch failure: cannot connect: refused");
    }
}
