//! Every link of the documents leads to a file and a heading that are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{documents, root};

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut broken = BTreeSet::new();
    let mut links = 0;
    for (path, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            links += 1;
            if !leads_somewhere(&path, target) {
                broken.insert(format!("{}: {target}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(links > 20, "the links were not found");
    assert!(broken.is_empty(), "these lead nowhere: {broken:#?}");
}

fn leads_somewhere(from: &Path, target: &str) -> bool {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let path: PathBuf = if file.is_empty() { from.to_owned() } else { from.parent().unwrap().join(file) };
    match std::fs::read_to_string(&path) {
        Ok(text) => heading.is_empty() || text.lines().filter_map(anchor).any(|anchor| anchor == heading),
        Err(_) => path.is_dir() && heading.is_empty(),
    }
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept =
        title.to_lowercase().chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c)).collect::<String>();
    Some(kept.replace(' ', "-"))
}
