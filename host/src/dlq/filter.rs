//! Which dead letters are meant.

use wasq_core::message::UnixMs;

use super::letter_view::LetterView;

/// What a letter must be; what is none lets all through.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub kind: Option<String>,
    pub class: Option<String>,
    pub plugin: Option<String>,
    /// A part of the reason.
    pub reason: Option<String>,
    pub group: Option<String>,
    pub fingerprint: Option<String>,
    /// It failed last at this time or before.
    pub failed_by: Option<UnixMs>,
    /// It failed last at this time or later.
    pub failed_since: Option<UnixMs>,
}

impl Filter {
    pub fn matches(&self, view: &LetterView) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| wanted.is_none() || wanted.as_deref() == value;
        is(&self.kind, view.kind())
            && is(&self.class, Some(view.class()))
            && is(&self.plugin, view.plugin())
            && is(&self.group, view.group())
            && self.reason.as_ref().is_none_or(|part| view.reason().contains(part))
            && self.fingerprint.as_ref().is_none_or(|wanted| *wanted == view.fingerprint())
            && self.failed_by.is_none_or(|time| view.failed_at() <= time)
            && self.failed_since.is_none_or(|time| view.failed_at() >= time)
    }
}
