//! What the ledgers on servers have in common: where the URL comes from, and how long things last
//! there.

use std::time::Duration;

use wasq_core::secret::Secret;

/// Where the URL is looked for that the config does not name: so that a password need not stand in
/// a file.
pub const URL_VARIABLE: &str = "WASQ_LEDGER_URL";

/// The longest that anything lasts on a server, some 71,000 years: added to the time it is still
/// exact in a double, which is what Lua counts in.
const FOREVER_MS: u64 = 1 << 51;

/// The URL in the config, or in the environment. None if it is in neither.
pub fn url(config: Option<&Secret>) -> Option<Secret> {
    config.cloned().or_else(|| std::env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty()).map(Secret))
}

/// Whole milliseconds, for a server's clock.
pub fn span_ms(span: Duration) -> i64 {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).min(FOREVER_MS);
    i64::try_from(ms).expect("FOREVER_MS is less than i64::MAX")
}

/// How long `ms` is that a server counted until a moment ahead.
pub fn until(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
