//! Formats of serde: serialised straight into the file, deserialised from the mapping, with text
//! borrowed if the format allows it.

use std::borrow::Cow;
use std::os::fd::OwnedFd;

use kho_block::SealedMemfd;
use serde::{Deserialize, Serialize};

use super::{Digest, Format, LiveProcess, Object, Output, Process, Session};

/// The format of postcard: compact, without field names.
pub struct Postcard;

/// The format of serde_json: text.
pub struct SerdeJson;

/// A format with an implementation of serde.
pub trait Serde {
    /// Name in results.
    const NAME: &'static str;

    /// Writes a value.
    ///
    /// # Errors
    /// If the output fails.
    fn serialize(output: &mut Output, value: &(impl Serialize + ?Sized)) -> anyhow::Result<()>;

    /// Reads a value.
    ///
    /// # Errors
    /// If the bytes are not a value of this type.
    fn deserialize<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> anyhow::Result<T>;
}

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

impl Serde for SerdeJson {
    const NAME: &'static str = "serde_json";

    fn serialize(output: &mut Output, value: &(impl Serialize + ?Sized)) -> anyhow::Result<()> {
        Ok(serde_json::to_writer(output, value)?)
    }

    fn deserialize<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> anyhow::Result<T> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// Text in the file, or a copy of it if it is escaped there.
#[derive(Deserialize)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// An object that serde can serialise.
pub trait Serialized: Serialize {
    /// The object as it is deserialised, with borrowed text.
    type Deserialized<'a>: Deserialize<'a> + Object;
}

impl Serialized for Session {
    type Deserialized<'a> = Self;
}

impl Serialized for LiveProcess {
    type Deserialized<'a> = Process<Text<'a>>;
}

impl<Live: Serialized, F: Serde> Format<Live> for F {
    const NAME: &'static str = F::NAME;

    type Prepared = Output;

    type Rest = ();

    fn prepare(_: &[Live], len: Option<u64>) -> anyhow::Result<Output> {
        Output::new(len)
    }

    fn freeze(mut output: Output, live: &[Live]) -> anyhow::Result<(OwnedFd, ())> {
        F::serialize(&mut output, live)?;
        Ok((output.finish()?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let mut digest = Digest::default();
        for object in F::deserialize::<Vec<Live::Deserialized<'_>>>(file.as_bytes())? {
            object.add_to(&mut digest);
        }
        Ok(digest)
    }
}
