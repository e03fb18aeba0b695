//! How the new kernel reacts to a fault.

use crate::error::{
    FileErrorKind, FlbErrorKind, RootErrorKind, SessionErrorKind, StateError, StatePart,
};
use crate::name::NameError;
use crate::tree::KhoTreeErrorKind;
use crate::warning::Warning;

/// How the new kernel reacts to a fault, the worst first.
///
/// This describes Linux 7.2 and 7.3. The project's `docs/kernel.md` names the tests behind it.
///
/// ```
/// use kho_luo::Severity;
///
/// assert!(Severity::Panic < Severity::AllLost);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// The kernel panics at boot, or dies of a page fault.
    Panic,
    /// The kernel boots, but all sessions are lost.
    ///
    /// Nobody can open `/dev/liveupdate` until the next boot (`EIO`), the process that opens it is
    /// killed, or the kernel ignores everything that was handed over.
    AllLost,
    /// The kernel does not notice, and frees or reads memory that belongs to something else.
    Corruption,
    /// The kernel does not notice, and sessions or files are missing.
    Lost,
    /// The kernel accepts it without harm.
    Accepted,
}

impl StateError {
    /// Returns how the new kernel reacts to this fault.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Tree(error) => of_tree(&error.kind),
            Self::NotFound { .. } => Severity::AllLost,
            Self::Root { kind: RootErrorKind::Misaligned, .. } => Severity::Accepted,
            Self::Root { .. } | Self::Sessions(_) => Severity::Panic,
            Self::Session { kind, .. } => of_session(kind),
            Self::Flbs { kind, .. } => of_flbs(kind),
            Self::Shared { .. } => Severity::Corruption,
            Self::NotPreserved { part: StatePart::Flbs, .. } => Severity::Corruption,
            Self::NotPreserved { part, .. } | Self::Unreadable { part, .. } => match part {
                StatePart::Root | StatePart::Sessions => Severity::Panic,
                StatePart::Files { .. } => Severity::AllLost,
                StatePart::Flbs => Severity::Accepted,
            },
            Self::TooLarge { .. } | Self::More { .. } => Severity::Accepted,
        }
    }
}

const fn of_tree(kind: &KhoTreeErrorKind) -> Severity {
    match kind {
        // LUO requires its own node to have both numbers, and a size that fits.
        KhoTreeErrorKind::LuoTooSmall { .. } => Severity::Panic,
        KhoTreeErrorKind::Missing { node, .. } | KhoTreeErrorKind::NotANumber { node, .. }
            if !node.is_empty() =>
        {
            Severity::Panic
        }
        KhoTreeErrorKind::Duplicate { .. } | KhoTreeErrorKind::NoLuo => Severity::Accepted,
        _ => Severity::AllLost,
    }
}

const fn of_session(kind: &SessionErrorKind) -> Severity {
    match kind {
        SessionErrorKind::Name(NameError::NotTerminated) => Severity::Lost,
        // If there are no files, the kernel only warns.
        SessionErrorKind::Name(_) | SessionErrorKind::Count { found: 0, .. } => Severity::Accepted,
        SessionErrorKind::Duplicate { .. }
        | SessionErrorKind::Files(_)
        | SessionErrorKind::Count { .. }
        | SessionErrorKind::File { kind: FileErrorKind::Compatible(_), .. } => Severity::AllLost,
        SessionErrorKind::File { kind: FileErrorKind::NotPreserved { .. }, .. } => {
            Severity::Corruption
        }
        SessionErrorKind::File { kind: FileErrorKind::DuplicateToken { .. }, .. } => Severity::Lost,
    }
}

const fn of_flbs(kind: &FlbErrorKind) -> Severity {
    match kind {
        FlbErrorKind::TooMany { .. } => Severity::Corruption,
        FlbErrorKind::Duplicate { .. } => Severity::Lost,
        // In Linux 7.2 and 7.3 only a test uses global objects.
        _ => Severity::Accepted,
    }
}

impl Warning {
    /// Returns how the new kernel reacts if what the warning suspects is true.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::UnknownHandler { .. } => Severity::AllLost,
            Self::ShortBlock { part: StatePart::Sessions, .. } => Severity::Lost,
            Self::ShortBlock { .. }
            | Self::OlderRoot { .. }
            | Self::OtherVersion(_)
            | Self::More { .. } => Severity::Accepted,
        }
    }
}
