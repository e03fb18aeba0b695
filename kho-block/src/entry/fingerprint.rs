//! The fingerprint of a layout, as `docs/format.md` defines it.

use xxhash_rust::const_xxh3::xxh3_64_with_seed;

use super::{EntryLayout, FieldKind};

/// Returns the hash of everything in the layout but the fingerprint itself.
pub(super) const fn of(layout: &EntryLayout) -> u64 {
    let mut hash = hash_text(0, layout.name);
    hash = hash_number(hash, layout.version as u64);
    hash = hash_number(hash, layout.size as u64);
    hash = hash_number(hash, layout.align as u64);
    hash = hash_number(hash, layout.fields.len() as u64);
    let mut i = 0;
    while i < layout.fields.len() {
        let field = &layout.fields[i];
        hash = hash_text(hash, field.name);
        hash = hash_number(hash, field.offset as u64);
        hash = hash_number(hash, field.size as u64);
        hash = hash_kind(hash, &field.kind);
        i += 1;
    }
    hash
}

// Each step hashes its bytes with the hash so far as the seed. The length of a text is hashed
// before the text, so that "ab" + "c" differs from "a" + "bc".
const fn hash_number(hash: u64, number: u64) -> u64 {
    xxh3_64_with_seed(&number.to_le_bytes(), hash)
}

const fn hash_text(hash: u64, text: &str) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), hash_number(hash, text.len() as u64))
}

const fn hash_kind(hash: u64, kind: &FieldKind) -> u64 {
    match kind {
        FieldKind::Unsigned => hash_number(hash, 1),
        FieldKind::Signed => hash_number(hash, 2),
        FieldKind::Float => hash_number(hash, 3),
        FieldKind::Text => hash_number(hash, 4),
        FieldKind::Array { element, len } => {
            hash_kind(hash_number(hash_number(hash, 5), *len as u64), element)
        }
        FieldKind::Entry(layout) => hash_number(hash_number(hash, 6), layout.fingerprint),
        FieldKind::PhysAddr => hash_number(hash, 7),
        FieldKind::SetHead { name, version } => {
            hash_number(hash_text(hash_number(hash, 8), name), *version as u64)
        }
        FieldKind::Nothing => hash_number(hash, 9),
        FieldKind::Bytes { name, size } => {
            hash_number(hash_text(hash_number(hash, 10), name), *size as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Field;

    /// Repeats the definition step by step, as in `docs/format.md`.
    #[test]
    fn as_defined() {
        enum Step {
            Number(u64),
            Text(&'static str),
        }
        use Step::{Number, Text};

        const REGS: FieldKind = FieldKind::Bytes { name: "kvm_regs", size: 16 };
        const FIELDS: &[Field] = &[
            Field::new("id", 0, 8, FieldKind::Unsigned),
            Field::new("of", 8, 0, FieldKind::Nothing),
            Field::new("regs", 8, 16, REGS),
            Field::new("more", 24, 32, FieldKind::Array { element: &REGS, len: 2 }),
        ];
        let layout = EntryLayout {
            name: "vcpu",
            version: 3,
            size: 56,
            align: 8,
            fields: FIELDS,
            fingerprint: 0,
        };

        #[rustfmt::skip]
        let steps = [
            Text("vcpu"), Number(3), Number(56), Number(8), Number(4),
            Text("id"), Number(0), Number(8), Number(1),
            Text("of"), Number(8), Number(0), Number(9),
            Text("regs"), Number(8), Number(16), Number(10), Text("kvm_regs"), Number(16),
            Text("more"), Number(24), Number(32),
            Number(5), Number(2), Number(10), Text("kvm_regs"), Number(16),
        ];
        let add = |hash, bytes: &[u8]| xxh3_64_with_seed(bytes, hash);
        let hash = steps.iter().fold(0, |hash, step| match step {
            Number(number) => add(hash, &number.to_le_bytes()),
            Text(text) => add(add(hash, &(text.len() as u64).to_le_bytes()), text.as_bytes()),
        });
        assert_eq!(of(&layout), hash);
    }
}
