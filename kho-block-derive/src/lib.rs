//! The derive macro of [`kho-block`], for structs that are stored in blocks and cross a live
//! update: it describes their layout, and rejects at compile time what can't cross.
//!
//! Use it through `kho-block`, as `kho_block::Entry`. [`derive(Entry)`](macro@Entry) lists the
//! attributes, and the types that it rejects.
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

/// Implements `kho_block::Entry`, so that a struct of plain data can be stored in blocks.
///
/// The implementation describes the layout of the struct, field by field, for tools and for the
/// successor that reads the blocks. It contains no unsafe code and relies on `bytemuck::Pod`, which
/// promises that every byte of the struct is initialised: derive that too.
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
/// # Attributes
///
/// | on | attribute | meaning | default |
/// |---|---|---|---|
/// | the struct | [`#[entry(name = "slot")]`](#name) | what the entry is called | the name of the struct |
/// | the struct | [`#[entry(version = 2)]`](#version) | the version of its meaning, a `u32` | 1 |
/// | the struct | [`#[entry(crate = vmm::kho_block)]`](#crate) | the path of `kho_block` | `::kho_block` |
/// | a field of type `[u8; N]` | [`#[entry(text)]`](#text) | the bytes are text | an array of numbers |
/// | a field of another crate's type | [`#[entry(bytes)]`](#bytes), `#[entry(bytes = "regs")]` | the bytes are plain data | the type must be a `FieldType` |
///
/// The name, the version, and the names, offsets and types of the fields make up the layout's
/// fingerprint, by which two programs can tell whether they agree.
///
/// ## `name`
///
/// Any constant of type `&str`. Set one before you rename a struct whose entries are in use.
///
/// ```
/// # use bytemuck::{Pod, Zeroable};
/// # use kho_block::Entry;
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// #[entry(name = concat!("vm-", "slot"))]
/// struct MemorySlot {
///     guest_address: u64,
/// }
/// assert_eq!(MemorySlot::NAME, "vm-slot");
/// ```
///
/// ## `version`
///
/// Any constant of type `u32`, such as `VERSION`, `Self::VERSION` or `{ 1 + 1 }`. Raise it when a
/// field changes its meaning but not its name and type. If sets of these entries are nested in
/// other entries, raise it with every change: their layout has only the name and version of a
/// nested set.
///
/// ```
/// # use bytemuck::{Pod, Zeroable};
/// # use kho_block::Entry;
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// #[entry(version = 2)] // 1 counted in pages
/// struct MemorySlot {
///     bytes: u64,
/// }
/// assert_eq!(MemorySlot::VERSION, 2);
/// ```
///
/// ## `crate`
///
/// Needed if `kho_block` is renamed in `Cargo.toml`, or is a dependency of another crate only. A
/// macro of that crate can write `crate = $crate::kho_block`. The path may be in quotes, unless it
/// begins with `$crate`.
///
/// ```
/// # extern crate kho_block as blocks;
/// use blocks::Entry;
/// # use bytemuck::{Pod, Zeroable};
///
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// #[entry(crate = blocks)]
/// struct MemorySlot {
///     bytes: u64,
/// }
/// # fn main() {}
/// ```
///
/// ## `text`
///
/// The bytes are UTF-8, ended by the first zero byte or the end of the field. `kho_block::text`
/// reads and writes such fields.
///
/// ```
/// # use bytemuck::{Pod, Zeroable};
/// # use kho_block::{Entry, text};
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// struct Device {
///     #[entry(text)]
///     name: [u8; 16],
/// }
/// let device = Device { name: text::to_field("disk")? };
/// assert_eq!(text::from_field(&device.name), Ok("disk"));
/// # Ok::<(), text::TextError>(())
/// ```
///
/// ## `bytes`
///
/// `Entry` can't be derived for a type of another crate, such as the registers of a virtual CPU in
/// kvm-bindings. This attribute stores such a type, or an array of it, as it is. The layout then
/// has the size of the type and its name, which is the last part of its path or the name given.
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
/// // SAFETY: `kvm_regs` is a C struct of `u64`s: it has no padding, and all bit patterns are valid.
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
/// If the type is `Pod`, no wrapper is needed: `#[derive(Pod)]` checks it. If it is not, the
/// `unsafe impl` is your promise, and you have to look for padding yourself. To do without that
/// promise, store a `[u8; size_of::<kvm_regs>()]` and convert it in a getter, for example by
/// zerocopy. Raise the version if the type changes but keeps its size: the
/// fingerprint does not show that.
///
/// # Types of fields
///
/// A field may have any type that is a `kho_block::FieldType`: integers and floats of fixed size,
/// arrays, `PhysAddr`, `SetHead<T>`, other entries, and `PhantomData<T>` and `()`, which have no
/// bytes. The head of a set may be in an entry of that same set. Write its name there and not
/// `Self`, for which `Pod` can't be derived:
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
/// # Rejected types
///
/// Each mistake is an error at the field, or at the struct if no field is to blame. One compilation
/// reports all that it can find.
///
/// | rejected | because | use instead |
/// |---|---|---|
/// | a struct without `repr(C)` or `repr(transparent)` | the compiler may reorder its fields | one of them; `packed` and `align(N)` may be added to `C` |
/// | padding, between fields or at the end | its bytes are undefined and would leak old memory | a field in its place, or another order |
/// | `usize`, `isize` | the size differs between machines | `u64`, `i64` |
/// | `bool`, `char`, enums | blocks come from outside, and not every bit pattern is valid | `u8`, `u32`, an integer |
/// | references, pointers, functions, lifetime parameters | they are meaningless in the successor | the value, `PhysAddr`, `SetHead<T>` |
/// | tuples | the layout is not fixed | a struct that derives `Entry` |
/// | unions | nothing says what the bytes mean | a struct |
/// | an alignment over 16 | entries follow a header of 16 bytes | `align(16)` or less |
/// | slices, `str`, trait objects | an entry has a fixed size | an array, or a `SetHead<T>` |
/// | structs of size 0 | any number of them would fit in a block | at least one field with bytes |
/// | other types that are not `FieldType`s | nothing says how their bytes are laid out | `derive(Entry)`, or `#[entry(bytes)]` for those of other crates |
///
/// ```compile_fail
/// # use bytemuck::{Pod, Zeroable};
/// # use kho_block::Entry;
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// struct Record {
///     flags: u8,
///     token: u64, // error: there is padding before field `token`
/// }
/// ```
///
/// # Generic structs
///
/// A struct may have type and const parameters. The implementation then requires that each field is
/// a `FieldType` and that the struct is `Pod`, which can be derived for generic structs that are
/// `repr(transparent)` or packed. The layout is checked for each choice of the parameters, where
/// that is first used. If a parameter is only used in `PhantomData<T>`, any type will do for it,
/// but implement `Pod` by hand: bytemuck's macro requires that the parameter is `Pod`.
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

/// Does the work of [`derive_entry`], with types that also exist outside of macros, for the tests.
fn derive(input: &DeriveInput) -> proc_macro2::TokenStream {
    let mut errors = Errors::default();
    let entry = parse::parse(input, &mut errors);
    validate::validate(&entry, &mut errors);
    match errors.0 {
        None => expand::expand(&entry),
        Some(errors) => expand::fallback(&entry, &errors),
    }
}

/// All errors that were found, to be reported together.
#[derive(Default)]
struct Errors(Option<syn::Error>);

impl Errors {
    fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Adds the error, if there is one.
    fn extend(&mut self, result: syn::Result<()>) {
        if let Err(error) = result {
            self.push(error);
        }
    }
}

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
