//! What a component may import although nothing is behind it.

use serde::{Deserialize, Serialize};

/// An interface of WASI's that is there for standard libraries that import it, and empty: no
/// directory is open, no address allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmptyInterface {
    #[serde(rename = "wasi:filesystem")]
    Filesystem,
    #[serde(rename = "wasi:sockets")]
    Sockets,
}

impl EmptyInterface {
    pub const ALL: [Self; 2] = [Self::Filesystem, Self::Sockets];

    /// Its package.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filesystem => "wasi:filesystem",
            Self::Sockets => "wasi:sockets",
        }
    }
}

impl std::fmt::Display for EmptyInterface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
