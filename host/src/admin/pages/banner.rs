//! What a page says of the action that led to it.

use maud::{Markup, html};
use serde::Deserialize;

use super::format;

/// What an action came to, in the address of the page that says it. Anybody can make such an
/// address, so it holds a word of ours and a number, and nothing to be shown as it is.
#[derive(Debug, Default, Deserialize)]
pub struct Done {
    done: Option<Word>,
    count: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Paused,
    Resumed,
    Replayed,
    Discarded,
    Profiling,
    SchedulePaused,
    ScheduleResumed,
    ScheduleRun,
}

impl Done {
    pub fn banner(&self) -> Markup {
        let letters = |one: &str, many: &str| match self.count.unwrap_or(1) {
            1 => one.to_owned(),
            count => format!("{} letters {many}.", format::count(count)),
        };
        let words = self.done.map(|word| match word {
            Word::Paused => "It is paused. Other hosts hear of it within seconds.".to_owned(),
            Word::Resumed => "Resumed. Held messages return within 90 seconds.".to_owned(),
            Word::Replayed => letters("One letter was sent back to its queue.", "were sent back to their queue"),
            Word::Discarded => letters("One letter was deleted.", "were deleted"),
            Word::SchedulePaused => "The schedule is paused.".to_owned(),
            Word::ScheduleResumed => "The schedule goes on with its next tick.".to_owned(),
            Word::ScheduleRun => "Its message is sent within a second.".to_owned(),
            Word::Profiling => "A profile was started. Its picture shows at the plugin when it has ended.".to_owned(),
        });
        html! { @if let Some(words) = words { p .banner.good role="status" { (words) } } }
    }
}
