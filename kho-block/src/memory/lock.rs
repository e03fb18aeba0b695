//! The lock of a memory: a mutex with the feature `std`, and otherwise a cell.

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

    /// Calls `f` with exclusive access to the value.
    ///
    /// # Panics
    /// Without the feature `std`, panics if `f` locks the same value again. With it, that may
    /// deadlock.
    #[inline]
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // The values in these locks are valid after every step, so a panic leaves nothing broken.
        #[cfg(feature = "std")]
        let mut value = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        #[cfg(not(feature = "std"))]
        let mut value = self.0.borrow_mut();
        f(&mut value)
    }
}
