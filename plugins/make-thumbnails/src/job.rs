//! The bodies of the two messages that an application knows, and what is asked of them.

use serde::{Deserialize, Serialize};

use crate::thumbnail::MAX_SIDE;

/// Most sizes of one upload.
pub const MAX_SIZES: usize = 8;
/// Longest image id, in bytes. It is part of the thumbnails' path.
pub const MAX_IMAGE_ID_BYTES: usize = 128;

/// The body of `image_uploaded`.
#[derive(Debug, Deserialize)]
pub struct Upload {
    pub image_id: String,
    pub url: String,
    pub sizes: Vec<u32>,
}

/// The body of `thumbnail_wanted`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Wanted {
    pub image_id: String,
    pub url: String,
    /// The longer side, in pixels.
    pub size: u32,
}

impl Upload {
    /// One thumbnail for each size, in the order of the sizes; or what is wrong with the upload.
    pub fn wanted(self) -> Result<Vec<Wanted>, String> {
        let Upload { image_id, url, mut sizes } = self;
        sizes.sort_unstable();
        sizes.dedup();
        if sizes.is_empty() || sizes.len() > MAX_SIZES {
            return Err(format!("sizes has {} sizes; an upload has 1 to {MAX_SIZES}", sizes.len()));
        }
        let wanted = |size| Wanted { image_id: image_id.clone(), url: url.clone(), size };
        let all: Vec<Wanted> = sizes.into_iter().map(wanted).collect();
        all.iter().try_for_each(Wanted::check)?;
        Ok(all)
    }
}

impl Wanted {
    /// What is wrong with it, if anything.
    pub fn check(&self) -> Result<(), String> {
        let id = self.image_id.as_bytes();
        let is_plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if id.len() > MAX_IMAGE_ID_BYTES
            || !id.first().is_some_and(u8::is_ascii_alphanumeric)
            || !id.iter().all(is_plain)
        {
            return Err(format!(
                "image_id must be 1 to {MAX_IMAGE_ID_BYTES} letters, digits, '-', '_' or '.', and start with a letter or a digit"
            ));
        }
        if !(self.url.starts_with("https://") || self.url.starts_with("http://")) {
            return Err("url must begin with https:// or http://".to_owned());
        }
        if !(1..=MAX_SIDE).contains(&self.size) {
            return Err(format!("a size must be 1 to {MAX_SIDE} pixels"));
        }
        Ok(())
    }
}
