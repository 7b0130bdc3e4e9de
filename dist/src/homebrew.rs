//! The Homebrew formula, with the archives' checksums.

use crate::source::Source;
use crate::target::Target;

const FORMULA: &str = include_str!("../templates/wasq.rb");

/// The formula of archives: each with its name and checksum.
pub fn formula(source: &Source, archives: &[(Target, String, String)]) -> anyhow::Result<String> {
    let blocks = archives.iter().map(|(target, name, sha256)| {
        let (block, url) = (target.homebrew_block(), source.url_of(name));
        format!("    {block} do\n      url \"{url}\"\n      sha256 \"{sha256}\"\n    end\n")
    });
    let filled = FORMULA
        .replace("{description}", &source.description)
        .replace("{repository}", &source.repository)
        .replace("{version}", &source.version)
        .replace("{license}", "any_of: [\"MIT\", \"Apache-2.0\"]")
        .replace("    {archives}\n", &blocks.collect::<String>());
    Ok(filled)
}
