//! Sizes and times as people write them.

use std::time::Duration;

const SIZES: &[(&str, u32)] = &[("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

/// `64MiB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (unit, shift) = SIZES.iter().find(|(unit, _)| text.ends_with(unit))?;
    let number = text.strip_suffix(unit)?.trim_end();
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.then(|| number.parse().ok())??;
    number.checked_mul(1_u64.checked_shl(*shift)?)
}

/// The same, back: the largest unit of which it is a whole number.
pub(in super::super) fn size_words(bytes: u64) -> String {
    let whole = |shift: u32| bytes > 0 && bytes.trailing_zeros() >= shift;
    let fits = SIZES.iter().find(|(_, shift)| whole(*shift));
    let (unit, shift) = fits.copied().unwrap_or(("B", 0));
    format!("{}{unit}", bytes >> shift)
}

/// `10s`, `1h30m`, `7d`.
pub(super) fn time(text: &str) -> Option<Duration> {
    if let Some(days) = text.strip_suffix('d') {
        let digits = days.bytes().all(|byte| byte.is_ascii_digit());
        let days: u64 = digits.then(|| days.parse().ok())??;
        return days.checked_mul(86_400).map(Duration::from_secs);
    }
    let duration: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(duration).ok()
}

/// The same, back, for the ends of ranges.
pub(in super::super) fn time_words(time: Duration) -> String {
    match (time.as_millis(), time.as_secs()) {
        (ms, _) if ms % 1000 > 0 => format!("{ms}ms"),
        (_, s) if s > 0 && s % 86_400 == 0 => format!("{}d", s / 86_400),
        (_, s) if s > 0 && s % 3600 == 0 => format!("{}h", s / 3600),
        (_, s) if s > 0 && s % 60 == 0 => format!("{}m", s / 60),
        (_, s) => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_and_come_back_as_written() {
        for text in ["1B", "64MiB", "3KiB", "2TiB", "1025B"] {
            assert_eq!(size_words(size(text).unwrap()), text);
        }
        assert_eq!(size("64 MiB"), Some(64 << 20));
        for text in ["", "B", "64", "64MB", "-1B", "1.5GiB", "99999999TiB", "+1B"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_read_as_on_the_command_line() {
        assert_eq!(time("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(time("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(time("7d"), Some(Duration::from_hours(168)));
        assert_eq!(time("-1s"), None);
        assert_eq!(time("10"), None);
        for text in ["250ms", "10s", "5m", "24h", "3d"] {
            let said = time_words(time(text).unwrap());
            assert_eq!(time(&said), time(text), "{text}");
        }
    }
}
