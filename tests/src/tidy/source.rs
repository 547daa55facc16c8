//! Rules about what stands in a file.

use super::repo::is_generated;

/// Lines a file may have. Longer ones hold more than one thing.
const LINES_MAX: usize = 600;

/// Words that mean "not done yet" or "left behind". Written in two halves, so that this file obeys them.
const LEFTOVERS: &[(&str, &str)] = &[
    ("todo", "!("),
    ("unimplemented", "!("),
    ("dbg", "!("),
    ("#[ign", "ore"),
    ("FIX", "ME"),
    ("XX", "X"),
];

/// What the project does not talk about: it speaks of itself alone. Also in halves.
const FOREIGN: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("brie", "f.md"),
    ("shared/", "reference"),
    ("cla", "ude"),
    ("anthro", "pic"),
    ("chat", "gpt"),
    ("language ", "model"),
    ("as an ", "ai"),
    ("the spi", "ke"),
    ("spike", ".md"),
];

/// Where `unsafe` may stand: the I/O crate, and what the frame compiler writes.
fn may_be_unsafe(path: &str, text: &str) -> bool {
    path.starts_with("engine/io/") || is_generated(text)
}

/// Every violation in one file. `path` is relative to the root, with `/`.
#[must_use]
pub fn violations(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let is_source = [".rs", ".sh", ".py", ".fbs", ".c"].iter().any(|end| path.ends_with(end));
    let lines = text.lines().count();
    if is_source && !is_generated(text) && lines > LINES_MAX {
        found.push(format!("{path}: {lines} lines, at most {LINES_MAX}"));
    }
    for (at, line) in text.lines().enumerate() {
        let mut report = |what: &str| found.push(format!("{path}:{}: {what}", at + 1));
        let lower = line.to_lowercase();
        for (a, b) in FOREIGN {
            if lower.contains(&format!("{a}{b}")) {
                report(&format!("speaks of {a}{b}"));
            }
        }
        if speaks_of_an_issue(&lower) {
            report("speaks of an issue by number");
        }
        if !path.ends_with(".rs") {
            continue;
        }
        for (a, b) in LEFTOVERS {
            if line.contains(&format!("{a}{b}")) {
                report(&format!("{a}{b} left behind"));
            }
        }
        let code = without_comment(line);
        if !may_be_unsafe(path, text) && is_unsafe(code) {
            report("unsafe outside engine/io");
        }
        if !path.starts_with("raft/")
            && !path.starts_with("tests/src/tidy/")
            && names(code, "openraft")
        {
            report("names openraft outside raft");
        }
    }
    found
}

/// The line up to `//`, and nothing when it is inside a string: good enough to tell code from talk.
fn without_comment(line: &str) -> &str {
    match line.find("//") {
        Some(at) if line[..at].matches('"').count().is_multiple_of(2) => &line[..at],
        _ => line,
    }
}

fn is_unsafe(code: &str) -> bool {
    let blocks = ["{", "fn", "impl", "extern", "trait"];
    let allows =
        ["allow", "expect", "warn"].iter().any(|a| code.contains(&format!("{a}(unsafe_code")));
    let word = code.split_once("unsafe ").is_some_and(|(before, after)| {
        !before.contains('"') && blocks.iter().any(|b| after.trim_start().starts_with(b))
    });
    word || allows
}

fn names(code: &str, package: &str) -> bool {
    code.contains(&format!("{package}::"))
        || code.trim_start().starts_with(&format!("use {package}"))
}

fn speaks_of_an_issue(lower: &str) -> bool {
    lower.split("issue").skip(1).any(|after| {
        let after = after.trim_start_matches([' ', '#']);
        after.starts_with(|c: char| c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        violations(path, text).len()
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(found("raft/src/a.rs", &"\n".repeat(601)), 1);
        assert_eq!(found("raft/src/a.rs", &"\n".repeat(600)), 0);
        let generated = format!("// automatically generated\n{}", "\n".repeat(700));
        assert_eq!(found("proto/src/wire/generated.rs", &generated), 0);
    }

    #[test]
    fn leftovers_are_found() {
        for (a, b) in LEFTOVERS {
            let line = format!("    {a}{b} x");
            assert_eq!(found("raft/src/a.rs", &line), 1, "{line}");
            assert_eq!(found("docs/a.md", &line), 0, "{line}");
        }
    }

    #[test]
    fn unsafe_is_found_outside_the_io_crate() {
        for line in [
            concat!("un", "safe { go() }"),
            concat!("pub un", "safe fn go() {}"),
            concat!("un", "safe impl Send for A {}"),
            concat!("#[allow(un", "safe_code)]"),
            concat!("#![expect(un", "safe_code, reason = \"fast\")]"),
        ] {
            assert_eq!(found("net/shard/src/a.rs", line), 1, "{line}");
            assert_eq!(found("engine/io/src/a.rs", line), 0, "{line}");
        }
        assert_eq!(found("net/shard/src/a.rs", concat!("// un", "safe { never }")), 0);
    }

    #[test]
    fn openraft_is_found_outside_raft() {
        assert_eq!(found("net/server/src/a.rs", "use openraft::Raft;"), 1);
        assert_eq!(found("net/server/src/a.rs", "let r = openraft::Raft::new();"), 1);
        assert_eq!(found("raft/src/a.rs", "use openraft::Raft;"), 0);
        assert_eq!(found("net/server/src/a.rs", "// as openraft::Raft does"), 0);
    }

    #[test]
    fn talk_of_anything_but_the_project_is_found() {
        for (a, b) in FOREIGN {
            let line = format!("see {a}{b}");
            assert!(found("docs/a.md", &line) >= 1, "{line}");
            assert!(found("raft/src/a.rs", &line.to_uppercase()) >= 1, "{line}");
        }
        assert_eq!(found("docs/a.md", concat!("as iss", "ue #12 says")), 1);
        assert_eq!(found("docs/a.md", concat!("the iss", "ue is closed, session 5 too")), 0);
    }
}
