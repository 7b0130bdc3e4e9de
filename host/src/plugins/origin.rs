//! Where a plugin comes from: a file of the plugin directory, or a registry.

use std::fmt;
use std::path::PathBuf;

use crate::config::OciReference;
use crate::oci::{Pulled, PulledVersion};

/// Where a plugin comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    /// With the digest of what was pulled.
    Registry(OciReference, Option<String>),
}

/// What is to be loaded.
pub struct Source {
    pub origin: Origin,
    /// The component's file; none where nothing was ever pulled.
    pub file: Option<PathBuf>,
    /// Why that may not be what the registry has now.
    pub error: Option<String>,
}

impl Origin {
    /// Whether both name one file, or one reference of the config, of whatever version.
    pub fn is_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Registry(one, _), Self::Registry(other, _)) => one == other,
            (Self::File(_), Self::Registry(..)) | (Self::Registry(..), Self::File(_)) => false,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Registry(reference, None) => reference.fmt(f),
            Self::Registry(reference, Some(digest)) => reference.at(digest).fmt(f),
        }
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self { origin: Origin::File(path.clone()), file: Some(path), error: None }
    }
}

impl From<&Pulled> for Source {
    fn from(pulled: &Pulled) -> Self {
        let Pulled { reference, version, error } = pulled.clone();
        let (digest, file) = version.map(|PulledVersion { digest, file }| (digest, file)).unzip();
        Self { origin: Origin::Registry(reference, digest), file, error }
    }
}
