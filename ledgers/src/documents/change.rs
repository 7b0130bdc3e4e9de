//! How a document is changed: read, decided, and written under the fence that was read.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasq_core::backoff::Backoff;

use super::{Documents, Put};
use crate::error::LedgerError;

/// How often a change is decided anew because others have changed the document in between, and the
/// waits before that. Each time somebody else has got on.
const TRIES: u32 = 40;
const AGAIN: Backoff = Backoff::new(Duration::from_millis(4), Duration::from_millis(250));

/// What a change comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<D> {
    /// The document is as it should be.
    Leave,
    /// It is to be this, and is kept for so long.
    Write(D, Duration),
}

/// Changes a document as `decide` has it over what stands there. It is decided anew when another
/// host has changed the document in between.
///
/// # Errors
/// The store does not answer, or what it has cannot be read.
pub async fn change<D, T>(
    documents: &dyn Documents,
    id: &str,
    decide: impl Fn(Option<D>) -> (T, Change<D>) + Send,
) -> Result<T, LedgerError>
where
    D: Serialize + DeserializeOwned + Send,
    T: Send,
{
    for tried in 1..=TRIES {
        let found = documents.get(id).await?;
        let expects = found.as_ref().map(|document| document.fence);
        let found = found.map(|document| parse(id, &document.value)).transpose()?;
        let (answer, changed) = decide(found);
        let Change::Write(changed, kept) = changed else { return Ok(answer) };
        let value = serde_json::to_vec(&changed).expect("it is text and numbers");
        match documents.put(Put { id: id.to_owned(), expects, value: value.into(), kept }).await {
            Ok(_) => return Ok(answer),
            Err(LedgerError::Stale) => tokio::time::sleep(AGAIN.jittered(tried)).await,
            Err(error) => return Err(error),
        }
    }
    Err(LedgerError::Unavailable(format!("others changed `{id}` {TRIES} times in between")))
}

/// A document's value, which is JSON.
///
/// # Errors
/// [`LedgerError::Damaged`] names the document.
pub fn parse<D: DeserializeOwned>(id: &str, value: &[u8]) -> Result<D, LedgerError> {
    serde_json::from_slice(value).map_err(|error| LedgerError::Damaged(format!("`{id}`: {error}")))
}
