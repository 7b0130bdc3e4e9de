//! What the outside world must have seen when all is done, and how what it saw differs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::orders::{Demand, Order, RENDITIONS, Video};
use super::sink::Effect;
use crate::config::Rate;

/// The effects that must be there, each by its path and what it is about, and no others.
#[derive(Debug, Clone)]
pub struct Expected {
    once: BTreeMap<(String, String), usize>,
}

/// An effect that was not seen as often as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The path that was called, or should have been.
    pub path: String,
    /// The order's, the image's or the video's id; of an analytics event, the order's time.
    pub id: String,
    pub expected: usize,
    pub seen: usize,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { path, id, expected, seen } = self;
        write!(f, "{path} for {id}: {seen} instead of {expected}")
    }
}

impl Expected {
    /// For each order, however often it was sent: one mail, one PDF, one reservation in each of
    /// three inventories, one webhook, one event, one audit entry. For each image, one thumbnail of
    /// each size. For each video, its renditions and pictures, one question to the moderators and
    /// one record. The order that does not fit has these only if it was corrected and replayed.
    pub fn of(demand: &Demand, is_poison_replayed: bool) -> Self {
        let corrected = is_poison_replayed.then_some(&demand.poison.corrected);
        let orders = demand.orders.iter().chain(corrected).flat_map(of_order);
        let thumbnails = demand.images.iter().flat_map(|image| {
            let path = |size| format!("/storage/thumbnails/{}/{size}.jpg", image.image_id);
            image.sizes.iter().map(move |size| (path(size), image.image_id.clone()))
        });
        let videos = demand.videos.iter().flat_map(of_video);
        Expected { once: orders.chain(thumbnails).chain(videos).map(|effect| (effect, 1)).collect() }
    }

    /// How many effects there must be in all.
    pub fn total(&self) -> usize {
        self.once.values().sum()
    }

    /// Compares with what the sink saw. Reads and calls that the sink refused do not count, nor do
    /// reports: [`reports`] counts those.
    ///
    /// # Errors
    ///
    /// Each effect that is missing, or there too often, or not expected at all.
    pub fn check(&self, effects: &[Effect]) -> Result<(), Vec<Mismatch>> {
        let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
        for effect in effects.iter().filter(|effect| effect.is_done() && effect.path != REPORTS) {
            let id = effect.id.clone().unwrap_or_else(|| "nobody".to_owned());
            *seen.entry((effect.path.clone(), id)).or_default() += 1;
        }
        let missing = self.once.iter().map(|(effect, expected)| (effect, *expected, seen.get(effect).copied()));
        let others = seen.iter().filter(|(effect, _)| !self.once.contains_key(*effect));
        let mismatches: Vec<Mismatch> = missing
            .chain(others.map(|(effect, count)| (effect, 0, Some(*count))))
            .map(|((path, id), expected, seen)| (path, id, expected, seen.unwrap_or(0)))
            .filter(|(_, _, expected, seen)| expected != seen)
            .map(|(path, id, expected, seen)| Mismatch { path: path.clone(), id: id.clone(), expected, seen })
            .collect();
        if mismatches.is_empty() { Ok(()) } else { Err(mismatches) }
    }
}

/// Where reports are asked for.
pub const REPORTS: &str = "/reports";

/// How many reports were asked for by the schedule, which ticks every so many seconds: one for each
/// tick since the first.
///
/// # Errors
///
/// Which tick has none, or several.
pub fn reports(effects: &[Effect], every_s: i64) -> Result<usize, String> {
    let done = effects.iter().filter(|effect| effect.is_done() && effect.path == REPORTS);
    let mut ticks = Vec::new();
    for effect in done {
        let at = effect.id.as_deref().unwrap_or_default();
        let tick: Timestamp = at.parse().map_err(|_| format!("a report is of {at:?}, which is no time"))?;
        ticks.push(tick);
    }
    ticks.sort_unstable();
    for pair in ticks.windows(2) {
        let between_s = pair[1].as_second() - pair[0].as_second();
        match between_s {
            0 => return Err(format!("two reports are of {}", pair[0])),
            _ if between_s == every_s => {}
            _ => return Err(format!("there are no reports between {} and {}", pair[0], pair[1])),
        }
    }
    match ticks.len() {
        0 => Err("no report was asked for".into()),
        count => Ok(count),
    }
}

/// The most calls of the partner in one second; a failed one is one, too.
///
/// # Errors
/// More came than `limit` allows, and when.
pub fn partner_calls(effects: &[Effect], limit: Rate) -> Result<usize, String> {
    let calls: Vec<_> =
        effects.iter().filter(|effect| effect.path.starts_with(PARTNER)).map(|effect| effect.at).collect();
    let allowed = (limit.per_second() * (1.0 + CALLS_LATE.as_secs_f64())).ceil() as usize + 1;
    let within =
        |first: usize| calls[first..].iter().take_while(|at| **at < calls[first] + Duration::from_secs(1)).count();
    let most = (0..calls.len()).map(within).max().unwrap_or_default();
    match most <= allowed {
        true => Ok(most),
        false => Err(format!("{most} in one second, and {limit} are allowed")),
    }
}

/// The partner's calls.
const PARTNER: &str = "/partner";
/// How much later than it was started a call may be answered, beside others.
const CALLS_LATE: Duration = Duration::from_millis(300);

fn of_video(video: &Video) -> Vec<(String, String)> {
    let id = &video.video_id;
    let stored = |shelf: &str, at: u32| format!("/storage/videos/{id}/{shelf}/{at}");
    let renditions = RENDITIONS.map(|height| stored("renditions", height));
    let pictures = video.pictures().map(|second| stored("pictures", second));
    let paths = renditions.into_iter().chain(pictures);
    paths.chain(["/moderation/reviews".into(), "/catalogue/videos".into()]).map(|path| (path, id.clone())).collect()
}

fn of_order(order: &Order) -> [(String, String); 8] {
    let id = &order.order_id;
    let about = |path: &str, id: &str| (path.to_owned(), id.to_owned());
    [
        about("/mail/messages", id),
        about(&format!("/storage/receipts/{id}.pdf"), id),
        about("/inventory/warehouse/reservations", id),
        about("/inventory/storefront/reservations", id),
        about("/inventory/marketplace/reservations", id),
        about("/partner/webhooks/orders", id),
        about("/analytics/events", &order.placed_at),
        about("/audit/entries", id),
    ]
}

#[cfg(test)]
mod tests;
