//! `payload_jq` expressions: one path into the payload and what must hold of the value there.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::search::{Comparison, Literal, PayloadExpression, Test};

/// The text is no `payload_jq` expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payload_jq: {0}")]
pub struct BadExpression(pub &'static str);

/// Longest expression, in bytes.
const BYTES_MAX: usize = 4096;

impl FromStr for PayloadExpression {
    type Err = BadExpression;

    fn from_str(text: &str) -> Result<Self, BadExpression> {
        if text.len() > BYTES_MAX {
            return Err(BadExpression("longer than 4096 bytes"));
        }
        let mut rest = text.trim();
        let mut path = Vec::new();
        while let Some(after) = rest.strip_prefix('.') {
            let is_key = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = after.find(|c| !is_key(c)).unwrap_or(after.len());
            if end == 0 {
                return Err(BadExpression("a key is missing after a dot"));
            }
            path.push(after[..end].to_owned());
            rest = &after[end..];
        }
        if path.is_empty() {
            return Err(BadExpression("begins with a path such as .order.id"));
        }
        let rest = rest.trim_start();
        let test = match rest.strip_prefix('|') {
            None => {
                let (comparison, literal) = comparison(rest)?;
                compared(comparison, literal)?
            }
            Some(filter) => filtered(filter.trim_start())?,
        };
        Ok(Self { path, test })
    }
}

fn comparison(text: &str) -> Result<(Comparison, &str), BadExpression> {
    let known = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<=", Comparison::LessOrEqual),
        (">", Comparison::Greater),
        ("<", Comparison::Less),
    ];
    let found = known.iter().find_map(|(sign, comparison)| {
        text.strip_prefix(sign).map(|rest| (*comparison, rest.trim()))
    });
    found.ok_or(BadExpression("a comparison is one of == != >= <= > <"))
}

fn compared(comparison: Comparison, literal: &str) -> Result<Test, BadExpression> {
    let bad = BadExpression("a literal is a text in double quotes, a number, true, false or null");
    let literal = match serde_json::from_str(literal) {
        Ok(Value::String(text)) => Literal::Text(text),
        Ok(Value::Bool(flag)) => Literal::Bool(flag),
        Ok(Value::Null) => Literal::Null,
        Ok(Value::Number(number)) => Literal::Number(number.as_f64().ok_or(bad)?),
        _ => return Err(bad),
    };
    let orders = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    if orders && literal == Literal::Null {
        return Err(BadExpression("null only compares by == and !="));
    }
    Ok(Test::Compare(comparison, literal))
}

fn filtered(text: &str) -> Result<Test, BadExpression> {
    if let Some(rest) = text.strip_prefix("length") {
        let (comparison, number) = comparison(rest.trim_start())?;
        let number = number.parse().map_err(|_| BadExpression("a length is a whole number"))?;
        return Ok(Test::Length(comparison, number));
    }
    let argument = |name: &str| {
        let inner = text.strip_prefix(name)?.trim_start().strip_prefix('(')?.strip_suffix(')')?;
        serde_json::from_str::<String>(inner.trim()).ok()
    };
    if let Some(prefix) = argument("startswith") {
        return Ok(Test::StartsWith(prefix));
    }
    let unknown = BadExpression(r#"a filter is startswith("…"), contains("…") or length"#);
    argument("contains").map(Test::Contains).ok_or(unknown)
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::GreaterOrEqual => ">=",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::Less => "<",
        })
    }
}

/// Parses to the same again.
impl fmt::Display for PayloadExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.iter().try_for_each(|key| write!(f, ".{key}"))?;
        let quoted = |text: &str| Value::String(text.to_owned()).to_string();
        match &self.test {
            Test::Compare(comparison, literal) => {
                write!(f, " {comparison} ")?;
                match literal {
                    Literal::Text(text) => f.write_str(&quoted(text)),
                    Literal::Number(number) => write!(f, "{number}"),
                    Literal::Bool(flag) => write!(f, "{flag}"),
                    Literal::Null => f.write_str("null"),
                }
            }
            Test::StartsWith(prefix) => write!(f, " | startswith({})", quoted(prefix)),
            Test::Contains(text) => write!(f, " | contains({})", quoted(text)),
            Test::Length(comparison, length) => write!(f, " | length {comparison} {length}"),
        }
    }
}

impl Comparison {
    fn holds<T: PartialOrd>(self, a: &T, b: &T) -> bool {
        match self {
            Self::Equal => a == b,
            Self::NotEqual => a != b,
            Self::GreaterOrEqual => a >= b,
            Self::LessOrEqual => a <= b,
            Self::Greater => a > b,
            Self::Less => a < b,
        }
    }
}

impl PayloadExpression {
    /// Whether it holds of a payload: never of one that is not JSON.
    #[must_use]
    pub fn holds(&self, payload: &[u8]) -> bool {
        let Ok(root) = serde_json::from_slice::<Value>(payload) else { return false };
        let at = self.path.iter().try_fold(&root, |value, key| value.get(key));
        let value = at.unwrap_or(&Value::Null);
        match &self.test {
            Test::Compare(comparison, literal) => compares(*comparison, value, literal),
            Test::StartsWith(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
            Test::Contains(text) => {
                let is_text = |element: &Value| match element {
                    Value::String(element) => element == text,
                    Value::Number(number) => number.to_string() == *text,
                    Value::Bool(flag) => flag.to_string() == *text,
                    _ => false,
                };
                value.as_array().is_some_and(|list| list.iter().any(is_text))
            }
            Test::Length(comparison, wanted) => match value {
                Value::Null => comparison.holds(&0, wanted),
                Value::Array(list) => comparison.holds(&(list.len() as i64), wanted),
                _ => false,
            },
        }
    }
}

/// Values of different types are not equal, and neither is before the other.
fn compares(comparison: Comparison, value: &Value, literal: &Literal) -> bool {
    match (value, literal) {
        (Value::String(value), Literal::Text(literal)) => comparison.holds(value, literal),
        (Value::Number(value), Literal::Number(literal)) => {
            value.as_f64().is_some_and(|value| comparison.holds(&value, literal))
        }
        (Value::Bool(value), Literal::Bool(literal)) => comparison.holds(value, literal),
        (Value::Null, Literal::Null) => comparison == Comparison::Equal,
        _ => comparison == Comparison::NotEqual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_holds_of_what_it_says() {
        let payload =
            br#"{"a":{"b":5,"s":"order-17","t":true,"n":null},"tags":["x","y",3],"e":[]}"#;
        let table = [
            (".a.b == 5", true),
            (".a.b != 5", false),
            (".a.b >= 5", true),
            (".a.b <= 4.5", false),
            (".a.b > 4", true),
            (".a.b < 1e1", true),
            (r#".a.s == "order-17""#, true),
            (r#".a.s > "order""#, true),
            (r#".a.b == "5""#, false),
            (r#".a.b != "5""#, true),
            (".a.t == true", true),
            (".a.t == false", false),
            (".a.n == null", true),
            (".missing == null", true),
            (".a.b.c.d == null", true),
            (".a.b != null", true),
            (".missing > 1", false),
            (r#".a.s | startswith("order-")"#, true),
            (r#".a.s|startswith( "rder" )"#, false),
            (r#".tags | contains("x")"#, true),
            (r#".tags | contains("3")"#, true),
            (r#".tags | contains("X")"#, false),
            (r#".a.s | contains("order")"#, false),
            (".tags | length == 3", true),
            (".tags | length > 3", false),
            (".e | length == 0", true),
            (".missing | length == 0", true),
            (".a.s | length == 8", false),
            ("  .a.b   ==   5  ", true),
        ];
        for (text, holds) in table {
            let expression: PayloadExpression = text.parse().expect(text);
            assert_eq!(expression.holds(payload), holds, "{text}");
            assert_eq!(expression.to_string().parse(), Ok(expression), "{text}");
        }
        let anything: PayloadExpression = ".a == null".parse().expect("it is one");
        assert!(!anything.holds(b"no json") && !anything.holds(b""));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            ".",
            "a == 1",
            ".a",
            ".a = 1",
            ".a == ",
            ".a == 'x'",
            ".a == [1]",
            ".a == 1 and .b == 2",
            ".a > null",
            ".a..b == 1",
            ".a | length",
            ".a | length == 1.5",
            ".a | length == x",
            ".a | upper == 1",
            ".a | contains(x)",
            r#".a | contains("x"#,
            ".a[0] == 1",
            r#".a | startswith("x") | length == 1"#,
        ] {
            assert!(text.parse::<PayloadExpression>().is_err(), "{text}");
        }
    }
}
