//! A plugin's profile as a person gets it: in a sentence, as a flame graph, and for the Firefox
//! profiler. `wasq profile`, `wasq invoke --profile` and the dashboard show it.

mod firefox;
mod flame_graph;
mod summary;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use summary::ProfileSummary;

use crate::sandbox::Profile;

/// What a profile is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A flame graph.
    Svg,
    /// JSON for <https://profiler.firefox.com>.
    Firefox,
}

impl Format {
    /// By the ending of a file's name.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "svg" => Some(Self::Svg),
            "json" => Some(Self::Firefox),
            _ => None,
        }
    }

    /// What a plugin's profile is called if nobody says otherwise.
    pub fn file_name(self, plugin: &str) -> String {
        match self {
            Self::Svg => format!("profile-{plugin}.svg"),
            Self::Firefox => format!("profile-{plugin}.json"),
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Svg => "image/svg+xml",
            Self::Firefox => "application/json",
        }
    }

    pub fn write(self, profile: &Profile) -> Vec<u8> {
        match self {
            Self::Svg => flame_graph::draw(profile).into_bytes(),
            Self::Firefox => firefox::write(profile),
        }
    }
}

#[cfg(test)]
mod tests;
