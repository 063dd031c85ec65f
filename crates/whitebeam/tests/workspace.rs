//! The workspace's own invariants, those of ARCHITECTURE.md that `cargo metadata` can tell.
//!
//! A failure here is a decision to be made, not a table to be adjusted: a new edge between crates or a
//! larger tree needs a record in `docs/decisions/`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Each crate with the crates of the workspace it may use. Tests may use more.
///
/// `sync <- scheduler <- actor <- supervisor <- whitebeam <- benches, examples`, and nothing upwards: the
/// scheduler knows nothing of actors, actors nothing of supervisors. The test kit stands beside the supervisors,
/// which it knows nothing of either.
const MAY_USE: &[(&str, &[&str])] = &[
    ("whitebeam-sync", &[]),
    ("whitebeam-scheduler", &["whitebeam-sync"]),
    ("whitebeam-actor", &["whitebeam-sync", "whitebeam-scheduler"]),
    ("whitebeam-supervisor", &["whitebeam-sync", "whitebeam-actor"]),
    ("whitebeam", &["whitebeam-actor", "whitebeam-supervisor"]),
    ("whitebeam-testkit", &["whitebeam-scheduler", "whitebeam-actor"]),
    ("whitebeam-bench", &["whitebeam"]),
    ("whitebeam-examples", &["whitebeam", "whitebeam-testkit"]),
];

/// Most packages a user gets with `whitebeam` and its default features, those of the workspace included.
const LARGEST_TREE: usize = 22;

/// Crates without a line of unsafe code.
const SAFE: &[&str] = &["whitebeam-supervisor", "whitebeam-testkit", "whitebeam"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn workspace() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo describes the workspace")
}

fn package<'a>(workspace: &'a Metadata, name: &str) -> &'a Package {
    let found = workspace.packages.iter().find(|package| package.name.as_str() == name);
    found.unwrap_or_else(|| panic!("{name} is not in the workspace"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn crates_use_only_what_lies_below_them() {
    let workspace = workspace();
    let members: BTreeSet<&str> = workspace.packages.iter().map(|p| p.name.as_str()).collect();
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    assert_eq!(members, known, "each member has its line in MAY_USE");

    for (name, may_use) in MAY_USE {
        let uses: BTreeSet<&str> = package(&workspace, name)
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development)
            .map(|dependency| dependency.name.as_str())
            .filter(|dependency| members.contains(dependency))
            .collect();
        let may_use: BTreeSet<&str> = may_use.iter().copied().collect();
        let wrong: Vec<_> = uses.difference(&may_use).collect();
        assert!(wrong.is_empty(), "{name} uses {wrong:?}, which is not below it");
    }
}

#[test]
fn the_library_brings_at_most_22_packages() {
    // `cargo tree` and not the metadata's graph: that one unites the features of all members.
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "whitebeam", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}", "--no-dedupe"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let tree: BTreeSet<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert!(tree.iter().any(|line| line.starts_with("whitebeam ")), "no tree: {text}");
    assert!(tree.len() <= LARGEST_TREE, "{} packages: {tree:#?}", tree.len());
}

#[test]
fn what_needs_no_unsafe_code_forbids_it() {
    let workspace = workspace();
    for name in SAFE {
        let source = package(&workspace, name).manifest_path.with_file_name("src").join("lib.rs");
        let text = read(source.as_std_path());
        assert!(
            text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]"),
            "{source} lacks `#![forbid(unsafe_code)]`"
        );
    }
}

#[test]
fn every_package_states_the_same_oldest_rust_licence_and_edition() {
    let workspace = workspace();
    let facade = package(&workspace, "whitebeam");
    let oldest = facade.rust_version.as_ref().expect("the workspace states a rust-version");
    for package in &workspace.packages {
        assert_eq!(package.rust_version.as_ref(), Some(oldest), "{}", package.name);
        assert_eq!(package.license, facade.license, "{}", package.name);
        assert_eq!(package.edition, facade.edition, "{}", package.name);
        assert_eq!(package.version, facade.version, "{}", package.name);
    }
    let readme = read(&root().join("README.md"));
    let stated = format!("Rust {}.{}", oldest.major, oldest.minor);
    assert!(readme.contains(&stated), "README.md does not say {stated:?}");
}

#[test]
fn every_member_takes_the_workspaces_lints() {
    for package in &workspace().packages {
        let manifest = read(package.manifest_path.as_std_path());
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} does not take the workspace's lints",
            package.name
        );
    }
}
