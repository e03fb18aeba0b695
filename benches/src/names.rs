//! Names of contenders in results. Those of the formats are `Format::NAME`.

/// Name of the sets.
pub const BLOCK_SET: &str = "BlockSet";

/// Name of `Vec`.
pub const VEC: &str = "Vec";

/// Name of the kernel's C code.
pub const KERNEL: &str = "kernel's C";

/// Name of the plain copy: the limit for writing.
pub const MEMCPY: &str = "memcpy";

/// Name of the pointer chase: the limit for restoring.
pub const POINTER_CHASE: &str = "pointer chase";
