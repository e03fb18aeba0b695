//! Names and versions that the compiler evaluates.

use kho_block::Entry;
use kho_block::bytemuck::{Pod, Zeroable};

const NAME: &str = "constant";
const VERSION: u32 = 7;

mod module {
    pub(crate) const NAME: &str = "module";
    pub(crate) const VERSION: u32 = 8;
}

const fn twice(version: u32) -> u32 {
    2 * version
}

const fn choose<const FIRST: bool, const OTHER: bool>() -> u32 {
    if FIRST { 10 } else { 20 }
}

/// Derives `Entry` with these attributes, and returns the name and version.
macro_rules! parts {
    ($($attr:tt)*) => {{
        #[derive(Clone, Copy, Pod, Zeroable, Entry)]
        #[repr(C)]
        #[entry($($attr)*)]
        struct Record(u64);
        (Record::NAME, Record::VERSION)
    }};
}

#[test]
fn any_constant_is_a_version() {
    assert_eq!(parts!(version = VERSION).1, 7);
    assert_eq!(parts!(version = module::VERSION).1, 8);
    assert_eq!(parts!(version = self::module::VERSION).1, 8);
    assert_eq!(parts!(version = VERSION + 1).1, 8);
    assert_eq!(parts!(version = { 1 + 1 }).1, 2);
    assert_eq!(parts!(version = (1 + 1)).1, 2);
    assert_eq!(parts!(version = { if VERSION > 3 { 3 } else { VERSION } }).1, 3);
    assert_eq!(parts!(version = twice(VERSION), name = NAME).1, 14);
    assert_eq!(parts!(version = choose::<true, false>(), name = NAME).1, 10);
    assert_eq!(parts!(version = u32::MAX).1, u32::MAX);
    assert_eq!(parts!(version = 0x10_u32).1, 16);
    assert_eq!(parts!(version = 3u16 as u32).1, 3);
}

#[test]
fn any_constant_is_a_name() {
    assert_eq!(parts!(name = NAME).0, "constant");
    assert_eq!(parts!(name = module::NAME, version = 1).0, "module");
    assert_eq!(parts!(name = { NAME }).0, "constant");
    assert_eq!(parts!(name = concat!("a", "-", 1)).0, "a-1");
    assert_eq!(parts!(name = stringify!(record)).0, "record");
    assert_eq!(parts!(name = r"raw").0, "raw");
}

#[test]
fn constants_of_the_struct() {
    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(C)]
    #[entry(name = Self::CALLED, version = Self::REVISION)]
    struct Record(u64);

    impl Record {
        const CALLED: &'static str = "record";
        const REVISION: u32 = 4;
    }

    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(transparent)]
    #[entry(version = V)]
    struct Generic<const V: u32>(u64);

    assert_eq!((Record::LAYOUT.name, Record::LAYOUT.version), ("record", 4));
    assert_eq!(Generic::<5>::LAYOUT.version, 5);
}

#[test]
fn values_from_macros() {
    macro_rules! entry {
        ($name:ident, $called:literal, $version:literal) => {
            #[derive(Clone, Copy, Pod, Zeroable, Entry)]
            #[repr(C)]
            #[entry(name = $called, version = $version)]
            struct $name(u64);
        };
        ($name:ident: $called:expr, $version:expr) => {
            #[derive(Clone, Copy, Pod, Zeroable, Entry)]
            #[repr(C)]
            #[entry(name = $called, version = $version)]
            struct $name(u64);
        };
        ($name:ident; $prefix:literal) => {
            entry!($name: concat!($prefix, "-", stringify!($name)), VERSION);
        };
    }
    entry!(Literal, "literal", 2);
    entry!(Expression: NAME, VERSION + 1);
    entry!(LiteralExpression: "expression", 3);
    entry!(Composed; "vm");

    assert_eq!((Literal::NAME, Literal::VERSION), ("literal", 2));
    assert_eq!((Expression::NAME, Expression::VERSION), ("constant", 8));
    assert_eq!((LiteralExpression::NAME, LiteralExpression::VERSION), ("expression", 3));
    assert_eq!((Composed::NAME, Composed::VERSION), ("vm-Composed", 7));
}
