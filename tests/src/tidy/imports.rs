//! Which crate may import which. The picture is in `docs/architecture.md`; this is the same picture as a table.

use serde::Deserialize;

/// The part of `cargo metadata --no-deps` that the rules read.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// The workspace's packages.
    pub packages: Vec<Package>,
}

/// One package of the workspace.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Name in its manifest.
    pub name: String,
    /// Where the manifest is.
    pub manifest_path: String,
    /// What it names in its manifest.
    pub dependencies: Vec<Dependency>,
    /// What is built from it.
    pub targets: Vec<Target>,
}

/// One line of a manifest.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The package named.
    pub name: String,
    /// `dev`, `build`, or nothing for an ordinary one.
    pub kind: Option<String>,
}

/// A library, binary, test or benchmark.
#[derive(Debug, Deserialize)]
pub struct Target {
    /// Its root file.
    pub src_path: String,
}

/// A crate and what of ours it may import. A crate that may import everything below it names it all the
/// same, so that a new edge is a decision and not an accident.
const ALLOWED: &[(&str, &[&str])] = &[
    ("jobbie-proto", &[]),
    ("jobbie-io", &[]),
    ("jobbie-cron", &["jobbie-proto"]),
    // Only deciding computes planned times: docs/decisions/0015-schedules-plan-when-deciding.md.
    ("jobbie-core", &["jobbie-proto", "jobbie-cron"]),
    ("jobbie-log", &["jobbie-proto", "jobbie-io"]),
    ("jobbie-sim", &["jobbie-io"]),
    ("jobbie-projector", &["jobbie-proto", "jobbie-io", "jobbie-log"]),
    ("jobbie-raft", &["jobbie-proto", "jobbie-io", "jobbie-log", "jobbie-sim"]),
    ("jobbie-shard", &["jobbie-proto", "jobbie-io", "jobbie-core", "jobbie-log", "jobbie-raft"]),
    (
        "jobbie-server",
        &[
            "jobbie-proto",
            "jobbie-io",
            "jobbie-core",
            "jobbie-log",
            "jobbie-projector",
            "jobbie-raft",
            "jobbie-shard",
        ],
    ),
    ("jobbie-client", &["jobbie-proto"]),
    ("jobbie-http", &["jobbie-proto", "jobbie-client", "jobbie-projector"]),
];

/// What may be imported for tests alone, and by whom.
const FOR_TESTS: &[(&str, &[&str])] = &[
    ("jobbie-sim", &["jobbie-log", "jobbie-raft", "jobbie-shard", "jobbie-server"]),
    // A node and its client in one process.
    ("jobbie-client", &["jobbie-server"]),
    ("jobbie-server", &["jobbie-http"]),
    // Histories to fold come from the engine itself.
    ("jobbie-core", &["jobbie-projector"]),
];

/// An outside package, by the beginning of its name, and the only crates of ours that may name it.
const ALONE: &[(&str, &[&str])] = &[
    ("openraft", &["jobbie-raft"]),
    ("rusqlite", &["jobbie-projector"]),
    // Two releases of the time zones in one node would plan two times for one run.
    ("jiff", &["jobbie-cron"]),
    ("libsqlite3-sys", &["jobbie-projector"]),
];

/// A crate of ours and outside packages, by the beginning of their names, that it must not know.
const MUST_NOT_KNOW: &[(&str, &[&str])] = &[
    ("jobbie-proto", &["tokio", "monoio", "io-uring", "futures", "libc"]),
    ("jobbie-cron", &["tokio", "monoio", "io-uring", "futures", "libc", "rand"]),
    ("jobbie-core", &["tokio", "monoio", "io-uring", "futures", "libc", "rand"]),
    ("jobbie-log", &["tokio", "monoio", "io-uring"]),
    ("jobbie-shard", &["tokio", "monoio", "io-uring"]),
    ("jobbie-client", &["monoio", "io-uring"]),
];

/// Whether the package is at the top, where anything may be imported and nothing imports it.
fn is_top(package: &Package) -> bool {
    ["/tools/", "/tests/", "/benches/", "/examples/"]
        .iter()
        .any(|top| package.manifest_path.contains(top))
}

/// Every edge that does not go down, and every outside package named where it must not be.
#[must_use]
pub fn violations(metadata: &Metadata) -> Vec<String> {
    metadata.packages.iter().flat_map(package_violations).collect()
}

fn package_violations(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    let allowed = ALLOWED.iter().find(|(of, _)| *of == name).map(|(_, may)| *may);
    if allowed.is_none() && !is_top(package) {
        return vec![format!(
            "{name}: has no place in the list of crates (tests/src/tidy/imports.rs)"
        )];
    }
    let mut found = Vec::new();
    for dependency in &package.dependencies {
        let on = dependency.name.as_str();
        let is_ours = on.starts_with("jobbie-") || on == "jobbie";
        let is_for_tests = dependency.kind.as_deref() == Some("dev")
            && FOR_TESTS.iter().any(|(what, by)| *what == on && by.contains(&name));
        if is_ours && allowed.is_some_and(|may| !may.contains(&on)) && !is_for_tests {
            found.push(format!("{name} imports {on}, which is not below it"));
        }
        if ALONE.iter().any(|(alone, by)| on.starts_with(alone) && !by.contains(&name)) {
            found.push(format!("{name} names {on}, which is another crate's alone"));
        }
        let hidden =
            MUST_NOT_KNOW.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, hidden)| *hidden);
        if dependency.kind.is_none() && hidden.iter().any(|h| on.starts_with(h)) {
            found.push(format!("{name} names {on}, which it must not know"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, folder: &str, dependencies: &[(&str, Option<&str>)]) -> Metadata {
        let dependencies = dependencies
            .iter()
            .map(|(name, kind)| Dependency { name: (*name).into(), kind: kind.map(Into::into) })
            .collect();
        let manifest_path = format!("/repo/{folder}/Cargo.toml");
        let package = Package { name: name.into(), manifest_path, dependencies, targets: vec![] };
        Metadata { packages: vec![package] }
    }

    #[test]
    fn an_edge_up_or_sideways_is_found() {
        let up = package("jobbie-core", "engine/core", &[("jobbie-log", None)]);
        assert_eq!(violations(&up), ["jobbie-core imports jobbie-log, which is not below it"]);
        let back = package("jobbie-proto", "proto", &[("jobbie-server", Some("dev"))]);
        assert_eq!(violations(&back).len(), 1);
        let client = package("jobbie-client", "net/client", &[("jobbie-core", None)]);
        assert_eq!(violations(&client).len(), 1);
        let tool = package("jobbie-shard", "net/shard", &[("jobbie-bench", None)]);
        assert_eq!(violations(&tool).len(), 1);
    }

    #[test]
    fn an_edge_down_is_not() {
        let down = package("jobbie-raft", "raft", &[("jobbie-log", None), ("openraft", None)]);
        assert_eq!(violations(&down), [""; 0]);
        let tool = package("jobbie-bench", "tools/jobbie-bench", &[("jobbie-core", None)]);
        assert_eq!(violations(&tool), [""; 0]);
        let support = package("jobbie-log", "engine/log", &[("jobbie-sim", Some("dev"))]);
        assert_eq!(violations(&support), [""; 0]);
    }

    #[test]
    fn test_support_in_the_product_is_found() {
        let product = package("jobbie-log", "engine/log", &[("jobbie-sim", None)]);
        assert_eq!(violations(&product).len(), 1);
    }

    #[test]
    fn outside_packages_in_the_wrong_crate_are_found() {
        for (name, folder, on) in [
            ("jobbie-server", "net/server", "openraft-rt-monoio"),
            ("jobbie-tests", "tests", "openraft"),
            ("jobbie-http", "net/http", "rusqlite"),
            ("jobbie-core", "engine/core", "tokio"),
            ("jobbie-proto", "proto", "futures-util"),
        ] {
            assert_eq!(violations(&package(name, folder, &[(on, None)])).len(), 1, "{name} {on}");
        }
    }

    #[test]
    fn a_crate_nobody_placed_is_found() {
        assert_eq!(violations(&package("jobbie-extra", "engine/extra", &[])).len(), 1);
    }
}
