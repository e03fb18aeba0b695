//! The derive macro of [`kho-block`], which re-exports it as `kho_block::Entry`; use it from there.
//!
//! [`derive(Entry)`](macro@Entry) says what it writes, what it reads and what it refuses.
//!
//! [`kho-block`]: https://docs.rs/kho-block

mod expand;
mod parse;
#[cfg(test)]
mod tests;
mod tokens;
mod validate;
mod value;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `kho_block::Entry`: plain data that can be stored in blocks.
///
/// The implementation writes down the layout of the struct, field by field, for tools and for the
/// successor that reads the blocks. It contains no unsafe code: that all bytes of the struct are
/// defined is what `Pod` promises, so derive that beside it.
///
/// ```
/// use bytemuck::{Pod, Zeroable};
/// use kho_block::{Entry, FieldKind, PhysAddr, SetHead};
///
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// #[entry(name = "file", version = 5)]
/// struct File {
///     #[entry(text)]
///     compatible: [u8; 48],
///     data: PhysAddr,
///     token: u64,
/// }
///
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// #[entry(name = "session", version = 5)]
/// struct Session {
///     #[entry(text)]
///     name: [u8; 64],
///     files: SetHead<File>,
///     file_count: u64,
/// }
///
/// let layout = Session::LAYOUT;
/// assert_eq!((layout.name, layout.version), ("session", 5));
/// assert_eq!((layout.size, layout.align), (80, 8));
/// assert_eq!((layout.fields[0].name, layout.fields[0].kind), ("name", FieldKind::Text));
/// assert_eq!((layout.fields[2].name, layout.fields[2].offset), ("file_count", 72));
/// ```
///
/// # Attributes of the struct
///
/// - `#[entry(name = "…")]`: what the entry is called. By default the name of the struct, so give
///   one before you rename a struct whose entries are in use. Any constant `&str` will do: `NAME`,
///   `concat!("vm-", "slot")`.
/// - `#[entry(version = 2)]`: the version of the entry's meaning, a `u32`, 1 by default. Raise it
///   when a field changes its meaning but not its name and type; and with every change, if sets of
///   these entries are nested in others, which know them by name and version only. Any constant will
///   do: `VERSION`, `Self::VERSION`, `{ 1 + 1 }`.
/// - `#[entry(crate = path)]`: the path to `kho_block`, where it is not `::kho_block`: because it is
///   renamed in `Cargo.toml`, or comes with another crate. A macro of that crate, whose users need
///   not depend on `kho_block` then, writes `crate = $crate::reexports::kho_block`. The path may be in
///   quotes, unless it begins with `$crate`.
///
/// Name and version are part of the fingerprint of the layout, as are the names, places and types
/// of the fields.
///
/// # Attributes of a field
///
/// - `#[entry(text)]`, on a `[u8; N]` only: the bytes are UTF-8, ended by the first NUL byte or the
///   end of the field. Without it they are an array of numbers.
/// - `#[entry(bytes)]`, on a type that is no `FieldType`, or an array of such a type: the bytes are
///   plain data, of which the layout has the type's name and size, and no more. The name is the last
///   part of the type's path, or the one in `#[entry(bytes = "…")]`. See [below](#data-of-other-crates).
///
/// # Fields
///
/// Integers and floats of fixed size, arrays, `PhysAddr`, `SetHead<T>` and other entries: every
/// `kho_block::FieldType`. `PhantomData<T>` and `()` have no bytes, whatever `T` is. A set may hold the type it is a field of; name the type there, since
/// `Pod` can't be derived for a field with `Self` in its type:
///
/// ```
/// # use bytemuck::{Pod, Zeroable};
/// # use kho_block::{Entry, SetHead};
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// struct Node {
///     value: u64,
///     children: SetHead<Node>,
/// }
/// # assert_eq!(Node::LAYOUT.size, 16);
/// ```
///
/// # Refused
///
/// Each with an error at the field, or at the struct where no field is to blame; all that can be
/// seen at once is reported at once.
///
/// | refused | because | instead |
/// |---|---|---|
/// | a struct without `repr(C)` or `repr(transparent)` | compilers may order its fields as they like | add one; `packed` and `align(N)` may go with `C` |
/// | padding, between fields or at the end | its bytes are undefined, and their content leaks | a field in its place, or another order |
/// | `usize`, `isize` | the size differs between machines | `u64`, `i64` |
/// | `bool`, `char`, enums | not every bit pattern is valid, and blocks come from outside | `u8`, `u32`, an integer |
/// | references, pointers, functions, lifetime parameters | they mean nothing to a successor | the value, `PhysAddr`, `SetHead<T>` |
/// | tuples | the layout differs between compilers | a struct that is an entry |
/// | unions | nothing tells what their bytes mean | a struct |
/// | an alignment over 16 | entries follow a header of 16 bytes | `align(16)` or less |
/// | slices, `str`, trait objects | an entry has a fixed size | an array, or a `SetHead<T>` |
/// | no fields, or none that has a size | a block would hold any number of them | a field |
/// | other types that are no `FieldType` | nothing tells how their bytes are laid out | derive `Entry` for them; `#[entry(bytes)]` if they are of another crate |
///
/// ```compile_fail
/// # use bytemuck::{Pod, Zeroable};
/// # use kho_block::Entry;
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// struct Record {
///     flags: u8,
///     token: u64, // there is padding before field `token`
/// }
/// ```
///
/// # Data of other crates
///
/// `Entry` can't be derived for a type of another crate, such as the registers of a virtual CPU in
/// kvm-bindings. `#[entry(bytes)]` stores it as it is:
///
/// ```
/// # #[allow(non_camel_case_types)]
/// # mod kvm_bindings {
/// #     #[derive(Clone, Copy, Default)]
/// #     #[repr(C)]
/// #     pub struct kvm_regs { pub rax: u64, pub rip: u64 }
/// # }
/// use bytemuck::{Pod, Zeroable};
/// use kho_block::{Entry, FieldKind};
/// use kvm_bindings::kvm_regs;
///
/// /// The registers, for use in entries.
/// #[derive(Clone, Copy, Entry)]
/// #[repr(transparent)]
/// struct Regs(#[entry(bytes)] kvm_regs);
///
/// // SAFETY: `kvm_regs` is a C struct of `u64`s: without padding, and all bit patterns are valid.
/// unsafe impl Zeroable for Regs {}
/// // SAFETY: as above.
/// unsafe impl Pod for Regs {}
///
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// struct Vcpu {
///     id: u64,
///     regs: Regs,
/// }
///
/// let kind = Regs::LAYOUT.fields[0].kind;
/// assert_eq!(kind, FieldKind::Bytes { name: "kvm_regs", size: size_of::<kvm_regs>() });
/// ```
///
/// Where the type is `Pod`, `#[derive(Pod)]` checks that and no wrapper is needed. Where it is not,
/// only its crate could make it so; the `unsafe impl` is your word for it, and you have to look for
/// padding yourself. Without that word, store `[u8; size_of::<kvm_regs>()]` and give it a getter that
/// converts, by zerocopy for a type that implements its traits. A change of the type that keeps its
/// size is not noticed: raise the version.
///
/// # Generic entries
///
/// Type and const parameters are allowed; the implementation then asks that the fields are of a
/// `FieldType` and that the struct is `Pod`. `Pod` itself can be derived for generic structs that
/// are `repr(transparent)` or packed. The layout of a generic entry is checked for each choice of
/// its parameters, where that is first used. A parameter that is only in `PhantomData<T>` may be any
/// type, but bytemuck's derive macro asks that it is `Pod`: implement `Pod` by hand then.
///
/// ```
/// # use bytemuck::{Pod, Zeroable};
/// # use kho_block::Entry;
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(transparent)]
/// struct Name<const N: usize>(#[entry(text)] [u8; N]);
///
/// assert_eq!(Name::<16>::LAYOUT.size, 16);
/// ```
#[proc_macro_derive(Entry, attributes(entry))]
pub fn derive_entry(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive(&input).into()
}

/// [`derive_entry`], on a type that exists outside of a macro too: in the tests.
fn derive(input: &DeriveInput) -> proc_macro2::TokenStream {
    let mut errors = Errors::default();
    let entry = parse::parse(input, &mut errors);
    validate::validate(&entry, &mut errors);
    match errors.0 {
        None => expand::expand(&entry),
        Some(errors) => expand::fallback(&entry, &errors),
    }
}

/// All that was found wrong, to be reported at once.
#[derive(Default)]
struct Errors(Option<syn::Error>);

impl Errors {
    fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Keeps the error, if it is one.
    fn extend(&mut self, result: syn::Result<()>) {
        if let Err(error) = result {
            self.push(error);
        }
    }
}
