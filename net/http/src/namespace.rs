//! Whose queues a caller sees.

use std::sync::Arc;

use jobbie_projector::{SEPARATOR, is_namespace, namespace_of};
use jobbie_proto::limits::QUEUE_BYTES_MAX;

use crate::error::ApiError;

/// The namespace whose queues have no prefix.
pub(crate) const DEFAULT: &str = "default";

/// A namespace. Of all but the default one, queue `q` is stored as `<namespace>::q` and shown as `q`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Namespace {
    name: Arc<str>,
    /// Empty for the default one.
    prefix: Arc<str>,
}

impl Default for Namespace {
    fn default() -> Self {
        Self { name: DEFAULT.into(), prefix: "".into() }
    }
}

impl Namespace {
    /// By its name.
    ///
    /// # Errors
    /// When it can be no name of one.
    pub(crate) fn new(name: &str) -> Result<Self, ApiError> {
        if name.is_empty() || name == DEFAULT {
            return Ok(Self::default());
        }
        if !is_namespace(name) {
            let what = format!("namespace \"{name}\": 1 to 63 of a-z, 0-9 and inner -");
            return Err(ApiError::validation(what));
        }
        Ok(Self { name: name.into(), prefix: format!("{name}{SEPARATOR}").into() })
    }

    /// That of a queue as it is stored.
    pub(crate) fn of(queue: &str) -> Self {
        namespace_of(queue).and_then(|name| Self::new(name).ok()).unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The same for the read model.
    pub(crate) fn wanted(&self) -> jobbie_projector::Namespace {
        if self.prefix.is_empty() {
            return jobbie_projector::Namespace::Default;
        }
        jobbie_projector::Namespace::Named(self.name.to_string())
    }

    /// How the names of its queues begin.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A queue as it is stored.
    ///
    /// # Errors
    /// When it is empty, or names a queue of another namespace.
    pub(crate) fn queue(&self, name: &str) -> Result<String, ApiError> {
        if name.is_empty() {
            return Err(ApiError::validation("queue is required"));
        }
        if self.prefix.len() + name.len() > QUEUE_BYTES_MAX || name.contains(char::is_control) {
            let what = format!("queue: at most {QUEUE_BYTES_MAX} bytes, no control characters");
            return Err(ApiError::validation(what));
        }
        if self.prefix.is_empty() || name.starts_with(&*self.prefix) {
            return Ok(name.to_owned());
        }
        if *Self::of(name).name != *DEFAULT {
            let what = format!("queue \"{name}\" is not in namespace \"{}\"", self.name);
            return Err(ApiError::validation(what));
        }
        Ok(format!("{}{name}", self.prefix))
    }

    /// A stored queue as its namespace sees it.
    pub(crate) fn shown<'q>(&self, queue: &'q str) -> &'q str {
        queue.strip_prefix(&*self.prefix).unwrap_or(queue)
    }

    /// Whether a stored queue is one of its.
    pub(crate) fn owns(&self, queue: &str) -> bool {
        Self::of(queue) == *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_get_a_prefix_and_lose_it_again() {
        let shop = Namespace::new("shop").expect("a name");
        assert_eq!(shop.queue("mail").expect("a queue"), "shop::mail");
        assert_eq!(shop.queue("shop::mail").expect("a queue"), "shop::mail");
        assert_eq!(shop.shown("shop::mail"), "mail");
        assert!(shop.queue("other::mail").is_err() && shop.queue("").is_err());
        assert!(shop.owns("shop::mail") && !shop.owns("mail") && !shop.owns("other::mail"));
    }

    #[test]
    fn the_default_namespace_has_everything_without_one() {
        let all = Namespace::default();
        assert_eq!(all.queue("mail").expect("a queue"), "mail");
        // No namespace is called so.
        assert!(all.owns("Reports::Nightly") && all.owns("mail") && !all.owns("shop::mail"));
    }

    #[test]
    fn names() {
        for name in ["", "default", "a", "a-b", &"a".repeat(63)] {
            assert!(Namespace::new(name).is_ok(), "{name}");
        }
        for name in ["-a", "a-", "A", "a_b", "a::b", &"a".repeat(64)] {
            assert!(Namespace::new(name).is_err(), "{name}");
        }
    }
}
