//! What the benches call workloads and contenders, as far as the report has to know it.

pub(crate) use kho_benches::{HUGE, KERNEL, LARGE, SMALL};

/// The contenders that the goals are for.
pub(crate) const SETS: [&str; 2] = ["BlockSet, heap", "BlockSet, memfd"];

/// The limit for one array.
pub(crate) const VEC: &str = "Vec";

/// The subject of the comparison from end to end.
pub(crate) const KHO_BLOCK: &str = "kho-block";

/// The same on two threads.
pub(crate) const KHO_BLOCK_RAYON: &str = "kho-block, rayon";

/// A flat array in huge pages, which nobody has without the memory of this project: the limit for a
/// format.
const ZEROCOPY_HUGE: &str = "zerocopy, huge pages";

/// The format that everybody knows.
pub(crate) const SERDE_JSON: &str = "serde_json";

/// In the order of tables and charts; others follow in the order of their names.
const ORDER: [&str; 19] = [
    VEC,
    "BlockSet, heap",
    "BlockSet, memfd",
    KERNEL,
    "LinkedList",
    "typed-arena",
    "Vec of Vecs",
    "memcpy",
    "pointer chase, heap",
    "pointer chase, memfd",
    KHO_BLOCK,
    KHO_BLOCK_RAYON,
    "zerocopy",
    ZEROCOPY_HUGE,
    "rkyv",
    "bitcode",
    "postcard",
    "flatbuffers",
    SERDE_JSON,
];

/// What to sort contenders by.
pub(crate) fn order(contender: &str) -> (usize, &str) {
    let (base, _) = split_threads(contender);
    (ORDER.iter().position(|name| *name == base).unwrap_or(ORDER.len()), contender)
}

/// Whether the contender is a limit, nothing that state could be kept in.
pub(crate) fn is_limit(contender: &str) -> bool {
    ["memcpy", ZEROCOPY_HUGE].contains(&contender) || contender.starts_with("pointer chase")
}

/// Whether the contender is what this project makes.
pub(crate) fn is_ours(contender: &str) -> bool {
    contender.starts_with("BlockSet") || contender.starts_with(KHO_BLOCK)
}

/// The pointer chase over the kind of memory that the contender is in; the heap, if it is in another.
pub(crate) fn chase_beside(contender: &str) -> &'static str {
    if contender.ends_with("memfd") { "pointer chase, memfd" } else { "pointer chase, heap" }
}

/// Whether the first is a pointer chase over another kind of memory than the second is in.
pub(crate) fn is_chase_elsewhere(contender: &str, ours: &str) -> bool {
    contender.starts_with("pointer chase") && contender != chase_beside(ours)
}

/// The contender without its number of threads, and that.
pub(crate) fn split_threads(contender: &str) -> (&str, Option<&str>) {
    for threads in ["1 thread", "2 threads"] {
        let rest = contender.strip_suffix(threads).and_then(|rest| rest.strip_suffix(", "));
        if let Some(base) = rest {
            return (base, Some(threads));
        }
    }
    (contender, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_split_off() {
        assert_eq!(split_threads("BlockSet, heap, 2 threads"), (SETS[0], Some("2 threads")));
        assert_eq!(split_threads("Vec, 1 thread"), (VEC, Some("1 thread")));
        assert_eq!(split_threads("BlockSet, heap"), (SETS[0], None));
    }

    #[test]
    fn vec_is_first_and_strangers_are_last() {
        let mut names = ["stranger", "memcpy", "BlockSet, heap, 2 threads", VEC];
        names.sort_by_key(|name| order(name));
        assert_eq!(names, [VEC, "BlockSet, heap, 2 threads", "memcpy", "stranger"]);
    }
}
