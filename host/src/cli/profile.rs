//! `wasq profile`: where a plugin's runs spend their time, on a running host.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use wasq_core::clock;

use super::dlq::duration;
use super::http::Admin;
use crate::admin::profiles::ProfileStatus;
use crate::admin::profiling::ProfileRequest;
use crate::profile::{Format, ProfileSummary};

/// How long after its time a host may need to end a profile.
const END_WITHIN: Duration = Duration::from_secs(10);
/// How often it is asked whether the profile has ended.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Record which functions a plugin's runs compute in, on a running host, and draw a flame graph.
///
/// Samples the runs that begin and those that run already, of any language, and merges them. It
/// costs the plugin next to nothing. A function has its name if the component was built with one
/// (`wasq build` keeps names; `strip = true` in a handler's Cargo.toml takes them away). Exits
/// with 1 if nothing ran.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ProfileCommand {
    /// The plugin's name.
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// How long to record, up to 10 minutes.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "30s")]
    time: Duration,
    /// The file to write. Default: profile-PLUGIN.svg or profile-PLUGIN.json, here.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What to write. Default: by the ending of --out, .svg or .json; else the flame graph.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    #[command(flatten)]
    admin: Admin,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  wasq profile make-thumbnails --for 30s
  wasq profile make-thumbnails --out thumbs.json   for https://profiler.firefox.com";

impl ProfileCommand {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (format, out) = file(self.format, self.out.as_deref(), &self.plugin)?;
        let asked = ProfileRequest { plugin: self.plugin.clone(), seconds: self.time.as_secs_f64() };
        let started: ProfileStatus = self.admin.post("/profiles", &asked).await?;
        let summary = self.wait(&started).await?;
        if summary.samples == 0 {
            bail!("plugin `{}`: {summary}; profile it while it has messages, or for longer (--for)", self.plugin);
        }
        let name = if format == Format::Svg { "svg" } else { "firefox" };
        let written = self.admin.get_bytes(&format!("/profiles/{}/{name}", self.plugin)).await?;
        write(&out, &written.context("the host has the profile no longer")?)?;
        match self.json {
            true => println!("{:#}", json!({ "plugin": self.plugin, "file": out, "summary": summary })),
            false => println!("{}: {summary}", out.display()),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Waits for the end of the profile.
    async fn wait(&self, started: &ProfileStatus) -> anyhow::Result<ProfileSummary> {
        let until = clock::now() + self.time + END_WITHIN;
        tokio::time::sleep(self.time).await;
        loop {
            let status: Option<ProfileStatus> = self.admin.get(&format!("/profiles/{}", self.plugin)).await?;
            let ours = status.filter(|status| status.began_at == started.began_at);
            let status = ours.context("the host has the profile no longer: it was restarted, or made another since")?;
            match status.summary {
                Some(summary) => return Ok(summary),
                None if clock::now() > until => bail!("the host does not end the profile"),
                None => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }
}

/// What is written, and where: by what the user said of either.
pub fn file(format: Option<Format>, out: Option<&Path>, plugin: &str) -> anyhow::Result<(Format, PathBuf)> {
    match (format, out) {
        (Some(format), Some(out)) => Ok((format, out.to_owned())),
        (None, Some(out)) => match Format::of(out) {
            Some(format) => Ok((format, out.to_owned())),
            None => bail!("{}: a profile is a .svg, or a .json for the Firefox profiler", out.display()),
        },
        (format, None) => {
            let format = format.unwrap_or(Format::Svg);
            Ok((format, format.file_name(plugin).into()))
        }
    }
}

pub fn write(out: &Path, profile: &[u8]) -> anyhow::Result<()> {
    std::fs::write(out, profile).with_context(|| format!("cannot write {}", out.display()))
}
