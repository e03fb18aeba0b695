//! serde_json: text.

use serde::{Deserialize, Serialize};

use super::Output;
use super::serde::Serde;

/// serde_json.
pub struct SerdeJson;

impl Serde for SerdeJson {
    const NAME: &'static str = "serde_json";

    fn serialize(output: &mut Output, value: &(impl Serialize + ?Sized)) -> anyhow::Result<()> {
        Ok(serde_json::to_writer(output, value)?)
    }

    fn deserialize<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> anyhow::Result<T> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
