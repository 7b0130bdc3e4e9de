//! What may run now: permits and the pools that plugins share, breakers of dependencies, and what
//! operators have paused.

pub mod breaker;
pub mod pauses;
pub mod permits;
