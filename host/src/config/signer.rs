//! Keys by which plugins are signed.

use schemars::JsonSchema;
use serde::Deserialize;

/// A minisign public key, as the second line of a `minisign.pub` has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = r"^\s*RW"))]
pub struct SignerKey(pub minisign_verify::PublicKey);

/// A text that is no public key.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no minisign public key; give the second line of minisign.pub, which begins with RW")]
pub struct NoKey(String);

impl TryFrom<String> for SignerKey {
    type Error = NoKey;

    fn try_from(text: String) -> Result<Self, NoKey> {
        match minisign_verify::PublicKey::from_base64(text.trim()) {
            Ok(key) => Ok(Self(key)),
            Err(_) => Err(NoKey(text)),
        }
    }
}
