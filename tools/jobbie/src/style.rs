//! Colours: on terminals only, and never when `NO_COLOR` is set.

use std::io::IsTerminal;

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// Whether somebody looks at it who wants colours.
fn is_wanted(is_terminal: bool, no_color: Option<&str>, term: Option<&str>) -> bool {
    is_terminal && no_color.is_none_or(str::is_empty) && term != Some("dumb")
}

fn wanted(is_terminal: bool) -> bool {
    let variable = |name| std::env::var(name).ok();
    is_wanted(is_terminal, variable("NO_COLOR").as_deref(), variable("TERM").as_deref())
}

/// Whether standard output gets colours.
pub(crate) fn on_stdout() -> bool {
    wanted(std::io::stdout().is_terminal())
}

/// Text with its first line bold.
pub(crate) fn head(text: &str, is_coloured: bool) -> String {
    match text.split_once('\n') {
        Some((head, rest)) if is_coloured => format!("{BOLD}{head}{PLAIN}\n{rest}"),
        _ => text.to_owned(),
    }
}

/// What goes before an error on standard error.
pub(crate) fn error() -> String {
    if wanted(std::io::stderr().is_terminal()) {
        format!("{RED}error:{PLAIN}")
    } else {
        "error:".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        assert!(is_wanted(true, None, Some("xterm")) && is_wanted(true, Some(""), None));
        assert!(!is_wanted(false, None, None) && !is_wanted(true, Some("1"), None));
        assert!(!is_wanted(true, None, Some("dumb")));
        assert_eq!(head("A\nb\n", false), "A\nb\n");
        assert_eq!(head("A\nb\n", true), "\x1b[1mA\x1b[0m\nb\n");
    }
}
