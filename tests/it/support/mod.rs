//! What the tests share: a whole host with its queues, a sink for the handlers' calls, and ways to
//! send and to look.

pub mod brokers;
mod faulty;
pub mod groups;
pub mod hosts;
mod rig;
pub mod schema;
pub mod servers;
mod setup;
mod sink;
pub mod wall_clock;

pub use faulty::{Faulty, Trouble};
pub use rig::{Dead, Rig, get};
pub use setup::{Plugin, Setup, dlq};
pub use sink::{Answer, Call, Sink, until};
pub use wasq_tests::wat;
