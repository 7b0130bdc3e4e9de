//! From a message to an outcome: what `#[handler]` calls.

use serde::de::DeserializeOwned;

use crate::{Context, Failure, Outcome};

/// A function that can handle messages: `fn(T, &Context)` where `T` is the body's type, or
/// `fn(&Context)`, giving anything that is a [`Completion`].
///
/// Not to be implemented; `Shape` only tells the forms apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    note = "a handler is `fn(body: T, cx: &Context)` where T is `serde::de::DeserializeOwned`, or `fn(cx: &Context)`",
    note = "it gives `()`, an `Outcome`, or a `Result` of either whose error is a `Failure`"
)]
pub trait Handler<Shape> {
    /// Reads the body, if the function takes it, and runs the function.
    ///
    /// # Errors
    ///
    /// The function's; and a [`Failure::Reject`] when the body does not fit its type.
    fn run(&self, cx: &Context) -> Result<Outcome, Failure>;
}

impl<F, T, R> Handler<(T, R)> for F
where
    F: Fn(T, &Context) -> R,
    T: DeserializeOwned,
    R: Completion,
{
    fn run(&self, cx: &Context) -> Result<Outcome, Failure> {
        self(cx.message().json()?, cx).into_result()
    }
}

impl<F, R> Handler<(R,)> for F
where
    F: Fn(&Context) -> R,
    R: Completion,
{
    fn run(&self, cx: &Context) -> Result<Outcome, Failure> {
        self(cx).into_result()
    }
}

/// What a handler may give: `()`, which is [`Outcome::done`], an [`Outcome`], or a `Result` of
/// either.
#[diagnostic::on_unimplemented(
    message = "a handler cannot give `{Self}`",
    note = "it gives `()`, an `Outcome`, or a `Result` of either whose error is a `Failure`"
)]
pub trait Completion {
    /// The same, in one form.
    fn into_result(self) -> Result<Outcome, Failure>;
}

impl Completion for () {
    fn into_result(self) -> Result<Outcome, Failure> {
        Ok(Outcome::done())
    }
}

impl Completion for Outcome {
    fn into_result(self) -> Result<Outcome, Failure> {
        Ok(self)
    }
}

impl<T: Completion, E: Into<Failure>> Completion for Result<T, E> {
    fn into_result(self) -> Result<Outcome, Failure> {
        self.map_err(Into::into)?.into_result()
    }
}
