//! What may run now: permits and the pools that plugins share, rates and pools of the whole fleet,
//! concurrency of a queue and by key, breakers of dependencies, and what operators have paused; and
//! the messages that are hidden for one of these.

mod auto_limit;
pub mod breaker;
mod departures;
pub mod fair_queue;
pub mod fleet_pools;
pub mod hidden;
pub mod in_hand;
pub mod key_limits;
pub mod limit_key;
mod line;
pub mod pauses;
pub mod permits;
pub mod queue_limit;
pub mod rates;
mod remembered;
mod returns;
pub mod set_limits;
pub mod turns;
