//! `[plugins.NAME]`: what the operator says about one plugin.

use std::collections::BTreeMap;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;
use wasq_core::schema::{Size, Time};
use wasq_core::secret::Secret;

use super::rollout::Percent;
use super::sign::SignConfig;

/// What the operator says about one plugin. Where the manifest sets a limit too, the stricter one
/// holds.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginConfig {
    /// How long one attempt may take. Default: as the manifest has it.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<Time>")]
    pub timeout: Option<Duration>,
    /// How much memory an instance may have. Default: as the manifest has it.
    #[schemars(with = "Option<Size>")]
    pub memory: Option<ByteSize>,
    /// Attempts at once on this host. Default: as the manifest has it.
    pub max_concurrency: Option<usize>,
    /// Grants these destinations; replaces what the manifest asks for.
    pub allowed_outbound_hosts: Option<Vec<String>>,
    /// Grants these queues to its outbox; replaces what the manifest asks for.
    pub queues: Option<Vec<String>>,
    /// Overrides the manifest's variables, one by one.
    pub variables: BTreeMap<String, String>,
    /// Headers that the host sets on requests to one destination, `scheme://host:port`.
    /// `{secret:NAME}` in a value stands for that secret, which the handler never sees.
    pub headers: BTreeMap<String, BTreeMap<String, Secret>>,
    /// Destinations whose requests the host signs for AWS, `scheme://host:port`, as it signs its
    /// own or by a role. The handler never sees credentials.
    pub sign: BTreeMap<String, SignConfig>,
    /// The component's blake3, 64 hexadecimal digits: another file of this name is refused.
    /// `wasq plugins` shows it.
    pub blake3: Option<String>,
    /// The share of its messages that a new version gets at first, as `"10%"`: `0%` to `100%`.
    /// Default: all, at once.
    pub canary: Option<Percent>,
}
