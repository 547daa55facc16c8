//! Whose queues are meant.

/// What stands between a namespace and the name of its queue.
pub const SEPARATOR: &str = "::";
const BYTES_MAX: usize = 63;

/// Some of the queues, by the beginnings of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// All queues.
    #[default]
    Any,
    /// Those of no other namespace.
    Default,
    /// Those that begin with this name and [`SEPARATOR`].
    Named(String),
}

impl Namespace {
    /// Whether a queue is one of its.
    #[must_use]
    pub fn owns(&self, queue: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Default => namespace_of(queue).is_none(),
            Self::Named(name) => namespace_of(queue) == Some(name),
        }
    }

    /// How the names of its queues begin.
    #[must_use]
    pub fn prefix(&self) -> String {
        match self {
            Self::Any | Self::Default => String::new(),
            Self::Named(name) => format!("{name}{SEPARATOR}"),
        }
    }
}

/// Whether a namespace may be called so: 1 to 63 of a-z, 0-9 and inner -.
#[must_use]
pub fn is_namespace(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=BYTES_MAX).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// The namespace of a queue; `None` is the default one, to which also belongs what begins with no name of a namespace.
#[must_use]
pub fn namespace_of(queue: &str) -> Option<&str> {
    let (name, _) = queue.split_once(SEPARATOR)?;
    // What is called as the default one is it.
    (is_namespace(name) && name != "default").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_belong_to_one_namespace() {
        let named = Namespace::Named("shop".to_owned());
        for (queue, of) in [
            ("mail", None),
            ("shop::mail", Some("shop")),
            ("shop::a::b", Some("shop")),
            ("Shop::mail", None),
            ("default::mail", None),
            ("::mail", None),
            ("shop:mail", None),
        ] {
            assert_eq!(namespace_of(queue), of, "{queue}");
            assert_eq!(Namespace::Default.owns(queue), of.is_none(), "{queue}");
            assert_eq!(named.owns(queue), of == Some("shop"), "{queue}");
            assert!(Namespace::Any.owns(queue));
        }
    }

    #[test]
    fn names() {
        for name in ["a", "a-b", &"a".repeat(63)] {
            assert!(is_namespace(name), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a_b", "a::b", &"a".repeat(64)] {
            assert!(!is_namespace(name), "{name}");
        }
    }
}
