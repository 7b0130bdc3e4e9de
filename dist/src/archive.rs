//! `.tar.gz` files whose bytes depend on nothing but what is in them.

use std::io::Write;

use flate2::{Compression, GzBuilder};

use crate::files::Tree;
use crate::target::Target;

/// The archive for a machine. cargo-binstall finds it by this name: see `host/Cargo.toml`.
pub fn name(version: &str, target: Target) -> String {
    format!("{}.tar.gz", directory(version, target))
}

/// The directory in it.
pub fn directory(version: &str, target: Target) -> String {
    format!("wasq-{version}-{target}")
}

/// How files are packed.
#[derive(Clone, Copy)]
pub struct Packer {
    /// The time of all files, in seconds since 1970.
    pub epoch_s: u64,
    /// How hard they are compressed: 0 to 9.
    pub level: u32,
}

impl Packer {
    /// Packs files under one directory. They belong to root.
    pub fn tar(self, tree: &Tree, directory: &str) -> anyhow::Result<Vec<u8>> {
        // A time in gzip's own header would be that of the packing.
        let compressed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(self.level));
        let mut tar = tar::Builder::new(compressed);
        for (path, entry) in tree.iter() {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(entry.mode());
            header.set_mtime(self.epoch_s);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(entry.bytes.len() as u64);
            tar.append_data(&mut header, format!("{directory}/{path}"), &entry.bytes[..])?;
        }
        let mut compressed = tar.into_inner()?;
        compressed.flush()?;
        Ok(compressed.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_bytes_in_whatever_order_they_came() {
        let pack_in_order = |names: &[&str]| {
            let mut tree = Tree::default();
            names.iter().for_each(|name| tree.add(name, name.as_bytes().to_vec()));
            tree.add_program("wasq", b"binary".to_vec());
            Packer { epoch_s: 1_700_000_000, level: 6 }.tar(&tree, "wasq-1.0.0").expect("it is packed")
        };
        let packed = pack_in_order(&["b", "a", "man/c"]);
        assert_eq!(packed, pack_in_order(&["man/c", "a", "b"]));
        assert_eq!(packed[4..8], [0; 4], "gzip's header has no time");
        let mut read = tar::Archive::new(flate2::read::GzDecoder::new(&packed[..]));
        let entries = read.entries().expect("it is an archive").map(|entry| {
            let entry = entry.expect("it can be read");
            let header = entry.header();
            let path = entry.path().expect("it has a path").display().to_string();
            let owner = (header.uid().ok(), header.gid().ok());
            assert_eq!((owner, header.mtime().ok()), ((Some(0), Some(0)), Some(1_700_000_000)));
            (path, header.mode().expect("it has a mode"))
        });
        let expect = [("a", 0o644), ("b", 0o644), ("man/c", 0o644), ("wasq", 0o755)];
        let expect: Vec<_> = expect.iter().map(|(path, mode)| (format!("wasq-1.0.0/{path}"), *mode)).collect();
        assert_eq!(entries.collect::<Vec<_>>(), expect);
    }
}
