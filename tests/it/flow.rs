//! The way of a delivery, from a producer's send to the delete, over a real queue and a real
//! ledger.

mod admission;
mod auto_concurrency;
mod completion_alone;
mod dead_letters;
mod delays;
mod envelopes;
mod events;
mod fairness;
mod groups;
mod held_back;
mod keyed;
mod limits;
mod outcomes;
mod routing;
mod safety;
mod schedules;
mod verdicts;
mod without_ledger;
