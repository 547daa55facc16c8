//! Messages as bytes: protobuf, or JSON as protobuf has it.

use bytes::Bytes;
use prost::Message;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::status::Status;

/// What messages are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Protobuf,
    Json,
}

/// What can be sent and received.
pub(super) trait Wired:
    Message + Default + Serialize + DeserializeOwned + Send + 'static
{
}
impl<T: Message + Default + Serialize + DeserializeOwned + Send + 'static> Wired for T {}

impl Codec {
    pub(super) fn encode(self, message: &impl Wired) -> Bytes {
        match self {
            Self::Protobuf => Bytes::from(message.encode_to_vec()),
            Self::Json => {
                let mut value = serde_json::to_value(message).expect("messages are plain");
                leave_out(&mut value, is_zero);
                Bytes::from(value.to_string())
            }
        }
    }

    pub(super) fn decode<T: Wired>(self, bytes: &[u8]) -> Result<T, Status> {
        match self {
            Self::Protobuf => T::decode(bytes)
                .map_err(|e| Status::invalid(format!("the message cannot be read: {e}"))),
            Self::Json => {
                let bad = |e| Status::invalid(format!("the message cannot be read: {e}"));
                let mut value: Value = serde_json::from_slice(bytes).map_err(bad)?;
                if !value.is_object() {
                    return Err(Status::invalid("the message is no JSON object"));
                }
                leave_out(&mut value, Value::is_null);
                serde_json::from_value(value).map_err(bad)
            }
        }
    }
}

/// What protobuf does not tell.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
    }
}

/// Removes fields of objects, however deep. Elements of lists stay.
fn leave_out(value: &mut Value, is_out: fn(&Value) -> bool) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(|value| leave_out(value, is_out));
            fields.retain(|_, value| !is_out(value));
        }
        Value::Array(all) => all.iter_mut().for_each(|value| leave_out(value, is_out)),
        _ => {}
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(serde_json::Number),
    Text(String),
}

/// Whole numbers, which may come as texts.
pub(super) mod number {
    use super::*;

    pub(in super::super) fn deserialize<'de, D, N>(from: D) -> Result<N, D::Error>
    where
        D: Deserializer<'de>,
        N: std::str::FromStr,
    {
        let text = match NumberOrText::deserialize(from)? {
            NumberOrText::Number(number) => number.to_string(),
            NumberOrText::Text(text) => text,
        };
        // 1.0 and 1e3 are whole, too; more digits than a double has come as they are.
        let whole = || {
            let number = text.parse::<f64>().ok().filter(|n| n.fract() == 0.0)?;
            format!("{number:.0}").parse().ok()
        };
        let bad = || serde::de::Error::custom(format!("{text} is no number of this kind"));
        text.parse().ok().or_else(whole).ok_or_else(bad)
    }
}

/// Whole numbers of 64 bits, which are told as texts.
pub(super) mod long {
    use super::*;

    pub(in super::super) use super::number::deserialize;

    pub(in super::super) fn serialize<S, N>(number: &N, to: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        N: Default + PartialEq + ToString,
    {
        // Nothing is left out like an empty text.
        let text = if *number == N::default() { String::new() } else { number.to_string() };
        to.serialize_str(&text)
    }
}
