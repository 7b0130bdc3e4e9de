//! What a release of wasq is made of: an archive for each machine, packages for npm and PyPI, a
//! Homebrew formula, a bill of materials, checksums and a signature.
//!
//! `cargo xtask dist` calls [`make`], and so do the tests, with a binary that is there already. No
//! step asks the network. The same commit gives the same bytes: files are packed in the order of
//! their names, with the commit's time, for nobody in particular.

mod archive;
mod binary;
mod compile;
mod contents;
mod documents;
mod files;
mod homebrew;
mod licenses;
mod npm;
mod sbom;
mod sign;
mod source;
mod target;
mod wheel;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Parser;

use archive::Packer;
use files::Tree;

pub use source::Source;
pub use target::Target;
pub use wheel::version_of_python;

/// Makes the files of a release.
///
/// Without --target it makes those for this machine, and for arm64 where a cross compiler is
/// installed. It needs no network, once cargo has fetched the dependencies.
#[derive(Parser)]
#[command(name = "cargo xtask dist", bin_name = "cargo xtask dist")]
pub struct Options {
    /// Where the files go.
    #[arg(long, default_value = "target/release-files")]
    pub out: PathBuf,
    /// A machine to make them for; several, if said several times.
    #[arg(long = "target", value_name = "TRIPLE")]
    pub targets: Vec<Target>,
    /// Pack this binary instead of compiling one. It is packed as it is.
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// The host's features.
    #[arg(long, default_value = "aws-secrets")]
    pub features: String,
    /// Sign the checksums with this secret key of minisign. A password is asked for, unless
    /// WASQ_MINISIGN_PASSWORD has it.
    #[arg(long, env = "WASQ_MINISIGN_KEY", value_name = "PATH")]
    pub minisign_key: Option<PathBuf>,
    /// How hard files are compressed: 0 to 9. 1 is quick.
    #[arg(long, default_value_t = 9, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(0..=9))]
    pub compression: u32,
    /// The tool that makes the bill of materials.
    #[arg(long, default_value = "cargo-cyclonedx", value_name = "PATH")]
    pub sbom_tool: PathBuf,
    /// Make no bill of materials.
    #[arg(long)]
    pub no_sbom: bool,
}

/// What was made.
pub struct Release {
    pub directory: PathBuf,
    /// In the order of their names, the checksums and the signature at the end.
    pub files: Vec<ReleaseFile>,
}

/// A file of a release.
pub struct ReleaseFile {
    pub name: String,
    pub sha256: String,
}

/// A machine that a release is for, with its binary.
struct Build {
    target: Target,
    binary: PathBuf,
}

/// Makes a release.
///
/// # Errors
/// What is missing or fails, and what to do about it.
pub fn make(options: &Options) -> anyhow::Result<Release> {
    let source = Source::find()?;
    if !options.no_sbom {
        sbom::check_tool(&options.sbom_tool)?;
    }
    if let Some(key) = &options.minisign_key {
        sign::check(key)?;
    }
    let builds = builds(options, &source)?;
    let out = std::path::absolute(&options.out).context("the current directory is gone")?;
    make_empty(&out)?;

    // One of the binaries runs here, and describes itself.
    let runs_here = builds.iter().find(|build| build.target.runs_here()).context(
        "none of the targets runs on this machine, and a binary prints its own completions and man pages; \
         add --target for this machine",
    )?;
    let mut common = documents::of(&runs_here.binary, &source)?;
    let third_party = licenses::document(&source, runs_here.target, &options.features)?;
    common.add(documents::THIRD_PARTY, third_party.into_bytes());

    let packer = Packer { epoch_s: source.epoch_s, level: options.compression };
    let mut names = Vec::new();
    let mut archives = Vec::new();
    for build in &builds {
        let bytes = std::fs::read(&build.binary).with_context(|| format!("cannot read {}", build.binary.display()))?;
        let needs = binary::Needs::of(&build.binary)?;
        if let Some(library) = needs.uncommon() {
            eprintln!(
                "warning: the binary for {} needs {library}, which many machines do not have; its wheel is for machines like \
                 this one alone. The feature `kafka` brings it",
                build.target
            );
        }
        let archive = archive::name(&source.version, build.target);
        let mut tree = Tree::default();
        tree.add_all(&common);
        tree.add_program("wasq", bytes.clone());
        let packed = packer.tar(&tree, &archive::directory(&source.version, build.target))?;
        archives.push((build.target, archive.clone(), files::sha256(&packed)));
        names.push(put(&out, archive, &packed)?);
        let (name, packed) = npm::platform_package(&source, build.target, &bytes, &common, packer)?;
        names.push(put(&out, name, &packed)?);
        let (name, packed) = wheel::pack(&source, build.target, &needs, &bytes, &common, packer.level)?;
        names.push(put(&out, name, &packed)?);
    }
    let targets: Vec<_> = builds.iter().map(|build| build.target).collect();
    let (name, packed) = npm::launcher_package(&source, &targets, packer)?;
    names.push(put(&out, name, &packed)?);
    names.push(put(&out, "wasq.rb".into(), homebrew::formula(&source, &archives)?.as_bytes())?);
    if !options.no_sbom {
        let bill = sbom::make(&options.sbom_tool, &source, runs_here.target, &options.features)?;
        names.push(put(&out, sbom::name(&source.version), &bill)?);
    }
    let description = source.describe(&targets, &options.features);
    names.push(put(&out, "release.json".into(), description.as_bytes())?);

    let mut files = names.into_iter().map(|name| files::read_sum(&out, name)).collect::<anyhow::Result<Vec<_>>>()?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let sums: String = files.iter().map(|file| format!("{}  {}\n", file.sha256, file.name)).collect();
    let name = put(&out, "SHA256SUMS".into(), sums.as_bytes())?;
    files.push(files::read_sum(&out, name)?);
    if let Some(key) = &options.minisign_key {
        let name = sign::sign(key, &out, "SHA256SUMS", &format!("wasq {}", source.version))?;
        files.push(files::read_sum(&out, name)?);
    }
    Ok(Release { directory: out, files })
}

/// The binaries: the given one, or those that are compiled now.
fn builds(options: &Options, source: &Source) -> anyhow::Result<Vec<Build>> {
    let targets = match (&options.targets[..], &options.binary) {
        ([], Some(_)) => vec![Target::here()?],
        ([], None) => compile::possible_targets()?,
        (targets, _) => targets.to_vec(),
    };
    if let Some(binary) = &options.binary {
        let &[target] = &targets[..] else { bail!("--binary is for one --target") };
        return Ok(vec![Build { target, binary: binary.clone() }]);
    }
    for target in &targets {
        compile::check(*target)?;
    }
    let compiled = targets.into_iter().map(|target| {
        let binary = compile::binary(source, target, &options.features)?;
        Ok(Build { target, binary })
    });
    compiled.collect()
}

/// Makes the directory, or takes away what an earlier release has left in it.
fn make_empty(directory: &Path) -> anyhow::Result<()> {
    let made = || format!("cannot make {}", directory.display());
    if directory.join("SHA256SUMS").exists() {
        std::fs::remove_dir_all(directory).with_context(made)?;
    }
    std::fs::create_dir_all(directory).with_context(made)?;
    let is_empty = std::fs::read_dir(directory).with_context(made)?.next().is_none();
    match is_empty {
        true => Ok(()),
        false => bail!("{} has files that are of no release; name another directory with --out", directory.display()),
    }
}

fn put(directory: &Path, name: String, bytes: &[u8]) -> anyhow::Result<String> {
    let path = directory.join(&name);
    std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(name)
}
