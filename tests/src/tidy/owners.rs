//! Every file belongs to a part that somebody answers for. A file that no line below covers has been put
//! somewhere nobody looks.

/// The beginning of a path, and the part that owns everything under it. A path without a final `/` is one file.
pub const OWNERS: &[(&str, &str)] = &[
    ("proto/", "proto"),
    ("engine/io/", "log"),
    ("engine/log/", "log"),
    ("engine/cron/", "core"),
    ("engine/core/", "core"),
    ("engine/sim/", "simulation"),
    ("engine/projector/", "projector"),
    ("raft/", "raft"),
    ("net/shard/", "server"),
    ("net/server/", "server"),
    ("net/client/", "client"),
    ("net/http/", "http"),
    ("tools/jobbie/", "tools"),
    ("tools/jobbie-bench/", "tools"),
    ("tools/jobbie-replay/", "tools"),
    ("tools/xtask/", "house"),
    ("tests/golden/", "proto"),
    ("tests/fuzz/", "proto"),
    ("tests/sim/", "simulation"),
    ("tests/src/", "house"),
    ("tests/it/", "house"),
    ("tests/examples/", "house"),
    ("tests/Cargo.toml", "house"),
    ("examples/", "tools"),
    ("benches/", "tools"),
    ("docs/", "house"),
    (".cargo/config.toml", "house"),
    (".ci/", "house"),
    (".config/nextest.toml", "house"),
    (".gitignore", "house"),
    ("Cargo.lock", "house"),
    ("Cargo.toml", "house"),
    ("CHANGELOG.md", "house"),
    ("LICENSE", "house"),
    ("README.md", "house"),
    ("rust-toolchain.toml", "house"),
    ("rustfmt.toml", "house"),
    ("deny.toml", "house"),
];

/// The files among `paths` that no part owns.
#[must_use]
pub fn without_owner<'a>(paths: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let covers = |rule: &str, path: &str| {
        if rule.ends_with('/') { path.starts_with(rule) } else { path == rule }
    };
    paths.into_iter().filter(|path| !OWNERS.iter().any(|(rule, _)| covers(rule, path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_nobody_answers_for_is_found() {
        let paths = ["proto/src/id.rs", "notes.txt", "engine/new/src/lib.rs", "README.md.orig"];
        assert_eq!(without_owner(paths), ["notes.txt", "engine/new/src/lib.rs", "README.md.orig"]);
    }
}
