//! What may run now: permits and the pools that plugins share, rates and pools of the whole fleet,
//! breakers of dependencies, and what operators have paused; and the messages that are
//! hidden for one of these.

pub mod breaker;
pub mod fleet_pools;
pub mod hidden;
pub mod in_hand;
pub mod pauses;
pub mod permits;
pub mod rates;
pub mod set_limits;
