//! The priority of a plugin.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which plugin's messages get a free permit first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}
