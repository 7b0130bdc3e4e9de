//! What an archive has beside the binary: what the binary prints of itself, and the repository's
//! pages.

use std::path::Path;

use anyhow::Context;

use crate::files::Tree;
use crate::source::{Source, output};

/// Scripts and schemas that the binary prints, each with its path.
const PRINTED: [(&str, &[&str]); 5] = [
    ("completions/wasq.bash", &["completions", "bash"]),
    ("completions/_wasq", &["completions", "zsh"]),
    ("completions/wasq.fish", &["completions", "fish"]),
    ("schemas/wasq.schema.json", &["schema", "config"]),
    ("schemas/plugin.schema.json", &["schema", "plugin"]),
];

const PAGES: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// The licences of the crates in the binary.
pub const THIRD_PARTY: &str = "THIRD-PARTY.md";

/// What licences ask to be given along with the binary, of an archive's documents.
pub fn notices(documents: &Tree) -> impl Iterator<Item = (&str, &[u8])> {
    let is_notice = |path: &str| path == THIRD_PARTY || path.starts_with("LICENSE-");
    documents.iter().filter(move |(path, _)| is_notice(path)).map(|(path, entry)| (path, &entry.bytes[..]))
}

/// The documents of a binary, which runs for them.
pub fn of(binary: &Path, source: &Source) -> anyhow::Result<Tree> {
    let mut tree = Tree::default();
    for (path, arguments) in PRINTED {
        tree.add(path, output(binary, arguments, None)?.into_bytes());
    }
    let manual = tempfile::tempdir().context("no directory for the man pages")?;
    output(binary, &["man-pages", &manual.path().display().to_string()], None)?;
    for page in std::fs::read_dir(manual.path()).context("the man pages are gone")? {
        let page = page.context("the man pages are gone")?;
        let bytes = std::fs::read(page.path()).with_context(|| format!("cannot read {}", page.path().display()))?;
        tree.add(&format!("man/man1/{}", page.file_name().to_string_lossy()), bytes);
    }
    for page in PAGES {
        tree.add(page, source.read(page)?);
    }
    Ok(tree)
}
