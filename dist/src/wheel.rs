//! The wheel for PyPI. pip, pipx and uv put the binary that it carries where programs are.

use std::io::{Cursor, Write};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::binary::Needs;
use crate::documents::notices;
use crate::files::{Entry, Tree};
use crate::source::Source;
use crate::target::Target;

const PAGE: &str = include_str!("../templates/wheel.md");

/// Packs the wheel: its file's name and bytes.
pub fn pack(
    source: &Source,
    target: Target,
    needs: &Needs,
    binary: &[u8],
    common: &Tree,
    level: u32,
) -> anyhow::Result<(String, Vec<u8>)> {
    let version = version_of_python(&source.version);
    let tag = tag(target, needs);
    let info = format!("wasq-{version}.dist-info");
    let mut tree = Tree::default();
    tree.add_program(&format!("wasq-{version}.data/scripts/wasq"), binary.to_vec());
    tree.add(&format!("{info}/METADATA"), metadata(source, &version).into_bytes());
    let wheel = format!("Wheel-Version: 1.0\nGenerator: wasq-dist\nRoot-Is-Purelib: false\nTag: {tag}\n");
    tree.add(&format!("{info}/WHEEL"), wheel.into_bytes());
    notices(common).for_each(|(path, bytes)| tree.add(&format!("{info}/licenses/{path}"), bytes.to_vec()));

    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut record = String::new();
    for (path, entry) in tree.iter() {
        add(&mut zip, path, entry, level)?;
        let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&entry.bytes));
        record.push_str(&format!("{path},sha256={digest},{}\n", entry.bytes.len()));
    }
    let path = format!("{info}/RECORD");
    record.push_str(&format!("{path},,\n"));
    add(&mut zip, &path, &Entry { bytes: record.into_bytes(), is_program: false }, level)?;
    Ok((format!("wasq-{version}-{tag}.whl"), zip.finish()?.into_inner()))
}

/// Adds a file. Its time is the first that zip knows: the packing's own would differ each time.
fn add(zip: &mut ZipWriter<Cursor<Vec<u8>>>, path: &str, entry: &Entry, level: u32) -> anyhow::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(level.into()))
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(entry.mode());
    zip.start_file(path, options)?;
    Ok(zip.write_all(&entry.bytes)?)
}

/// Which machines it is for (PEP 600): those whose glibc is as new as its symbols want. One that
/// needs more than glibc is for machines like this one.
fn tag(target: Target, needs: &Needs) -> String {
    let machine = target.machine();
    match (needs.uncommon(), needs.glibc) {
        (None, (major, minor)) => format!("py3-none-manylinux_{major}_{minor}_{machine}"),
        (Some(_), _) => format!("py3-none-linux_{machine}"),
    }
}

/// A version as Python writes it (PEP 440): `0.2.0-rc.1` is `0.2.0rc1`.
pub fn version_of_python(version: &str) -> String {
    let Some((release, candidate)) = version.split_once('-') else { return version.to_owned() };
    let (kind, number) = candidate.split_once('.').unwrap_or((candidate, "0"));
    let kind = match kind {
        "alpha" => "a",
        "beta" => "b",
        other => other,
    };
    format!("{release}{kind}{number}")
}

fn metadata(source: &Source, version: &str) -> String {
    let Source { description, repository, license, .. } = source;
    let page = PAGE.replace("{repository}", repository);
    format!(
        "Metadata-Version: 2.1\nName: wasq\nVersion: {version}\nSummary: {description}\nHome-page: {repository}\nLicense: {license}\n\
         Classifier: Operating System :: POSIX :: Linux\nRequires-Python: >=3.8\nDescription-Content-Type: text/markdown\n\n{page}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_written_as_python_does() {
        for (version, expect) in
            [("0.2.0", "0.2.0"), ("0.2.0-rc.1", "0.2.0rc1"), ("1.0.0-alpha.2", "1.0.0a2"), ("1.0.0-beta", "1.0.0b0")]
        {
            assert_eq!(version_of_python(version), expect);
        }
    }
}
