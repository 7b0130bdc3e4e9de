//! Write wasq handlers in Rust.
//!
//! wasq takes messages from Amazon SQS and runs a handler for each, as a WebAssembly component in a
//! sandbox of its own. A handler is a function from a message to an outcome. Timeouts, retries,
//! backoff, dead letters and limits are the host's, so the function holds nothing but the work:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use wasq_sdk::{Context, Failure, tracing};
//!
//! #[derive(Deserialize)]
//! struct OrderCompleted {
//!     order_id: String,
//!     total_cents: u64,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Charge {
//!     id: String,
//! }
//!
//! #[wasq_sdk::handler]
//! fn order_completed(order: OrderCompleted, cx: &Context) -> Result<(), Failure> {
//!     if order.total_cents == 0 {
//!         return Err(Failure::reject("an order of nothing"));
//!     }
//!     let charge: Charge = cx.once("charge", || {
//!         let request = cx.http().post(cx.variable("pay_api")?).idempotency_key_for("charge");
//!         Ok(request.json(&serde_json::json!({"cents":
//! order.total_cents})).send()?.error_for_status()?.json()?)     })?;
//!     cx.outbox("emails", "receipt_due").send(&charge)?;
//!     tracing::info!(order.order_id, charge.id, "charged");
//!     Ok(())
//! }
//! # use wasq_sdk::test::Reply;
//! # let cx = Context::test()
//! #     .variable("pay_api", "https://pay.example/charges")
//! #     .reply("POST", "https://pay.example/charges", Reply::status(201).json(&Charge { id:
//! "ch_1".to_owned() }))
//! #     .build();
//! # assert_eq!(order_completed(OrderCompleted { order_id: "A-1".to_owned(), total_cents: 1299 },
//! &cx), Ok(()));
//! # assert_eq!(cx.recorded().sent()[0].body, br#"{"id":"ch_1"}"#);
//! ```
//!
//! # The message
//!
//! The first parameter is the message's body, as any type that is `serde::Deserialize`. A body that
//! does not fit is dead-lettered; the reason names the field by its path, and what is wrong with
//! it, but never what it held. A handler of other bodies takes only `cx: &Context`, and finds
//! bytes, media type and attributes in [`Context::message`].
//!
//! # The outcome
//!
//! | the handler gives | and the message |
//! | --- | --- |
//! | `()` or [`Outcome::done`] | is deleted |
//! | [`Outcome::result`], [`Outcome::json`] | is deleted, and the ledger keeps the result |
//! | [`Outcome::discard`] | is deleted, and the log says why |
//! | [`Outcome::snooze`] | comes again later, which is no attempt |
//! | [`Failure::retry`], or `?` on any error | comes again after the backoff, until its attempts
//! are used up |
//! | [`Failure::unavailable`], or `?` on an HTTP error of that kind | comes again when the
//! dependency is back, which is no attempt |
//! | [`Failure::reject`] | is dead-lettered now |
//!
//! # Again and again
//!
//! Every message runs at least once, and so at times more than once. Two things make that harmless.
//! Each message has a key, [`Context::idempotency_key`], the same in every delivery: send it with
//! every effect whose receiver can deduplicate. And [`Context::once`] records that a part of the
//! work is finished, so that a repeated attempt goes on where the last one failed. Messages in
//! [`Context::outbox`] are sent only when the handler succeeds, under keys of their own.
//!
//! # The crate
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"] # the component, and a library for its tests
//!
//! [dependencies]
//! serde = { version = "1", features = ["derive"] }
//! # Not published yet: name the path of sdk/rust in a clone instead, as `wasq new` does.
//! wasq-sdk = "0.1"
//! ```
//!
//! Beside `Cargo.toml` stands `plugin.toml`, the manifest, which [`handler`](macro@handler) embeds
//! in the component:
//!
//! ```toml
//! name = "charge-order"
//! types = ["order_completed"]
//! timeout = "10s"
//! allowed_outbound_hosts = ["https://pay.example:443"]
//! variables = { pay_api = "https://pay.example/charges" }
//! ```
//!
//! `cargo build --release --target wasm32-wasip2` makes the component. The macros of [`tracing`]
//! and of [`log`] write to the host's log.
//!
//! # Tests
//!
//! Outside a component, [`Context::test`] plays the host, so a handler is tested as the ordinary
//! function that it is:
//!
//! ```
//! # use wasq_sdk::{Context, Failure};
//! # use wasq_sdk::test::Reply;
//! # fn ping(cx: &Context) -> Result<(), Failure> {
//! #     cx.http().get("https://a.example/health").send()?.error_for_status()?;
//! #     Ok(())
//! # }
//! let cx = Context::test().reply("GET", "https://a.example/health", Reply::status(204)).build();
//! assert_eq!(ping(&cx), Ok(()));
//! assert_eq!(cx.recorded().requests().len(), 1);
//! ```

#![warn(missing_docs)]

mod context;
mod decode;
mod failure;
mod group;
mod handler;
pub mod http;
mod logging;
mod message;
mod outbox;
mod outcome;
mod waiting;

#[cfg(target_arch = "wasm32")]
mod host;
#[cfg(not(target_arch = "wasm32"))]
pub mod test;

pub use context::Context;
pub use failure::Failure;
pub use group::{End, EndedGroup, Group, GroupPart, Member, Members, OnFailure, Summary};
pub use handler::{Completion, Handler};
pub use log;
pub use message::{Attribute, AttributeValue, Message};
pub use outbox::{MAX_DELAY, NewMessage, Outgoing};
pub use outcome::Outcome;
pub use tracing;
pub use waiting::{Pending, Waiting};
/// Makes a function the handler of this component, and embeds `plugin.toml`, which stands beside
/// `Cargo.toml`, as its manifest.
///
/// The function is a [`Handler`]: it takes the message's body, as any type that is
/// `DeserializeOwned`, and a [`&Context`](Context); or a `&Context` alone. It gives a
/// [`Completion`]: `()`, an [`Outcome`], or a `Result` of either. It stays an ordinary function,
/// which tests can call. A component has one handler; a crate that forbids unsafe code (`deny` is
/// fine) cannot be one, since an export of a component is an unsafe attribute.
///
/// ```
/// use wasq_sdk::{Context, Outcome};
///
/// #[wasq_sdk::handler]
/// fn count_bytes(cx: &Context) -> Outcome {
///     Outcome::result(cx.message().body().len().to_string())
/// }
///
/// # use wasq_sdk::test;
/// let cx = Context::test().body("four").build();
/// assert_eq!(test::run(count_bytes, &cx), Ok(Outcome::result("4")));
/// ```
pub use wasq_sdk_macros::handler;

/// The page for those who write handlers: its code is compiled as this crate's own examples are.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/use/handlers.md")]
struct HandlersPage;

/// The page about groups, too.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/use/groups.md")]
struct GroupsPage;

/// What stands behind a [`Context`]: the host in a component, a recorder in a test. Both have the
/// same functions.
mod backend {
    #[cfg(target_arch = "wasm32")]
    pub(crate) use crate::host::{Backend, log_enabled, log_write};
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) use crate::test::{Backend, log_enabled, log_write};

    /// Why a step was neither read nor recorded.
    #[derive(Debug, Clone)]
    pub(crate) enum StepError {
        /// Over a limit of the ledger's.
        #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))] // A test's ledger has no limits.
        Limit(String),
        /// The ledger did not answer, or this delivery no longer holds the message.
        Unavailable(String),
    }
}

/// For the expansion of `#[handler]` only.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_arch = "wasm32")]
    pub use crate::host::bindings::export_handler;
    #[cfg(target_arch = "wasm32")]
    pub use crate::host::bindings::exports::wasq::worker::message_handler::Guest;
    #[cfg(target_arch = "wasm32")]
    pub use crate::host::bindings::wasq::worker::messages::{
        Failure as WireFailure, Message as WireMessage, Outcome as WireOutcome,
    };
    #[cfg(target_arch = "wasm32")]
    pub use crate::host::{bindings, handle};

    /// Compiles only if this is a handler.
    pub fn assert_handler<Shape>(_: impl crate::Handler<Shape>) {}
}
