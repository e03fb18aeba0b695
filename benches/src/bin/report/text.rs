//! Numbers as a reader wants them.

use crate::stats::Ratio;

/// With a comma at each thousand.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// With three digits that matter, but not more than three behind the point.
pub(crate) fn three_digits(value: f64) -> String {
    let decimals = match value {
        ..0.9995 => 3,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// No more digits than it has, up to three behind the point.
pub(crate) fn plain(value: f64) -> String {
    let digits = format!("{value:.3}");
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Nanoseconds in the unit that fits.
pub(crate) fn time(ns: f64) -> String {
    let (scale, unit) = match ns {
        ..1e3 => (1.0, "ns"),
        ..1e6 => (1e3, "µs"),
        ..1e9 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    format!("{} {unit}", three_digits(ns / scale))
}

/// With two digits behind the point, as goals are.
pub(crate) fn ratio(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { three_digits(value) }
}

/// With three digits behind the point, to tell it from a goal that it is close to.
pub(crate) fn exact_ratio(value: f64) -> String {
    if value < 10.0 { format!("{value:.3}") } else { three_digits(value) }
}

/// From the low to the high end.
pub(crate) fn spread(measured: Ratio) -> String {
    format!("{} to {}", ratio(measured.low), ratio(measured.high))
}

/// The spread in brackets.
pub(crate) fn brackets(measured: Ratio) -> String {
    format!("({}–{})", ratio(measured.low), ratio(measured.high))
}

/// The median, and the spread in brackets.
pub(crate) fn ratio_with_spread(measured: Ratio) -> String {
    format!("{} {}", ratio(measured.median), brackets(measured))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        let counts = [0, 100, 1_000, 1_270_000, 100_000_000].map(count);
        assert_eq!(counts, ["0", "100", "1,000", "1,270,000", "100,000,000"]);
    }

    #[test]
    fn digits_that_matter() {
        let values = [0.0414, 0.5, 0.9996, 1.234, 12.34, 99.96, 1234.5].map(three_digits);
        assert_eq!(values, ["0.041", "0.500", "1.00", "1.23", "12.3", "100", "1234"]);
    }

    #[test]
    fn no_needless_digits() {
        assert_eq!([0.0, 0.1 + 0.2, 1.5, 100.0].map(plain), ["0", "0.3", "1.5", "100"]);
    }

    #[test]
    fn times_have_a_unit() {
        let times = [0.25, 1234.0, 2_500_000.0, 3.2e9].map(time);
        assert_eq!(times, ["0.250 ns", "1.23 µs", "2.50 ms", "3.20 s"]);
    }

    #[test]
    fn spreads_go_up() {
        let measured = Ratio { median: 1.0, low: 0.954, high: 11.04 };
        assert_eq!(spread(measured), "0.95 to 11.0");
        assert_eq!(ratio_with_spread(measured), "1.00 (0.95–11.0)");
    }

    #[test]
    fn exact_ratios_are_told_from_goals() {
        assert_eq!([1.0304, 31.26].map(exact_ratio), ["1.030", "31.3"]);
    }

    #[test]
    fn ratios_are_as_exact_as_goals() {
        assert_eq!([0.0333, 1.034, 9.999, 31.26].map(ratio), ["0.03", "1.03", "10.00", "31.3"]);
    }
}
