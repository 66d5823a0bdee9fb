//! Links between documents: the file is there, and has a heading of that name.

use std::fs;
use std::path::Path;

use super::document::{Document, Link};

/// What is wrong with a link in the document at `path`; nothing for places outside of the project.
pub fn mistake(path: &Path, document: &Document, link: &Link) -> Option<String> {
    let target = link.target.as_str();
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let linked = path.parent()?.join(file);
    if !file.is_empty() && !linked.exists() {
        return Some(format!("`{target}`: there is no such file"));
    }
    let is_there = |document: &Document| document.anchors.iter().any(|name| name == anchor);
    let found = match file {
        _ if anchor.is_empty() => true,
        "" => is_there(document),
        _ => fs::read_to_string(linked).is_ok_and(|text| is_there(&Document::read(&text))),
    };
    (!found).then(|| format!("`{target}`: there is no such heading"))
}
