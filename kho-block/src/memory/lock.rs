//! The lock around a memory's states: a mutex where threads exist, a cell where they don't.

/// Exclusive access to a value behind a shared reference.
pub(super) struct Lock<T>(Inner<T>);

#[cfg(feature = "std")]
type Inner<T> = std::sync::Mutex<T>;
#[cfg(not(feature = "std"))]
type Inner<T> = core::cell::RefCell<T>;

impl<T> Lock<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    /// Runs `f` while nobody else has the value.
    #[inline]
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // The states are whole after every step, so a panic elsewhere leaves nothing to fear.
        #[cfg(feature = "std")]
        let mut value = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        #[cfg(not(feature = "std"))]
        let mut value = self.0.borrow_mut();
        f(&mut value)
    }
}
