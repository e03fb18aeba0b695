//! postcard: compact, without names of fields.

use serde::{Deserialize, Serialize};

use super::Output;
use super::serde::Serde;

/// postcard.
pub struct Postcard;

impl Serde for Postcard {
    const NAME: &'static str = "postcard";

    fn serialize(output: &mut Output, value: &(impl Serialize + ?Sized)) -> anyhow::Result<()> {
        postcard::to_io(value, output)?;
        Ok(())
    }

    fn deserialize<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> anyhow::Result<T> {
        Ok(postcard::from_bytes(bytes)?)
    }
}
