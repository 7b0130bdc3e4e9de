//! A pause as the stores hold it.

use super::LedgerError;
use crate::pause::Pause;

pub fn to_json(pause: &Pause) -> String {
    serde_json::to_string(pause).expect("a pause is two strings and two numbers")
}

/// # Errors
/// [`LedgerError::Damaged`] where it is none.
pub fn from_json(json: &[u8]) -> Result<Pause, LedgerError> {
    serde_json::from_slice(json).map_err(|error| LedgerError::Damaged(format!("a pause: {error}")))
}
