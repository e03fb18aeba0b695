//! Cutting text to the size of its field.

/// Cuts a path to `max` bytes, keeping its end, which tells more. Says whether it had to.
pub(crate) fn cut_path(path: &mut String, max: usize) -> bool {
    const MARK: &str = "…";
    if path.len() <= max {
        return false;
    }
    let mut start = path.len() - (max - MARK.len());
    while !path.is_char_boundary(start) {
        start += 1;
    }
    path.replace_range(..start, MARK);
    true
}

/// Cuts a name to `max` bytes, keeping its start.
pub(crate) fn cut_name(name: &mut String, max: usize) {
    name.truncate(floor_boundary(name, max));
}

/// The largest index up to `max` at which the text can be cut.
fn floor_boundary(text: &str, max: usize) -> usize {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters() {
        for max in 3..12 {
            let mut path = "/ä/ö/ü/ß".to_string();
            let cut = cut_path(&mut path, max);
            assert!(path.len() <= max, "{path} has more than {max} bytes");
            assert_eq!(cut, path.starts_with('…'));
            assert!("/ä/ö/ü/ß".ends_with(path.trim_start_matches('…')));
        }
    }
}
