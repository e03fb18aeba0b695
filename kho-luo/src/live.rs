//! `/dev/liveupdate`: sessions of the running kernel, and files in them.

mod device;
mod error;
mod ioctl;
mod memfd;
mod session;

pub use device::LiveUpdate;
pub use error::{
    CallError, CreateError, FinishError, GetNameError, OpenError, PreserveError, RetrieveError,
    RetrieveSessionError,
};
pub use memfd::{
    HeadError, MemfdHead, PreserveMemoryError, PreserveMemoryErrorKind, RetrieveMemoryError,
    load_head, store_head,
};
pub use session::{NotASession, Session};
