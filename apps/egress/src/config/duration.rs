//! Durations as Go writes them: `90m`, `1h30m`, `1.5s`, `500ms`.

use std::time::Duration;

/// Units and their nanoseconds, longest spelling first where one is a prefix of another.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Why a text is no duration we can use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// Not Go's notation.
    #[error("is not a duration; write for example 90m, 1h30m or 500ms")]
    Syntax,
    /// Below zero: nothing here can be.
    #[error("is negative; write a duration of 0s or more")]
    Negative,
    /// More than i64 nanoseconds (292 years), Go's limit.
    #[error("is too long")]
    Range,
}

/// Parses Go's notation.
///
/// # Errors
/// See [`Error`].
pub fn parse(text: &str) -> Result<Duration, Error> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(Error::Syntax);
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let number_len = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or(Error::Syntax)?;
        let (number, tail) = rest.split_at(number_len);
        // "m" is a prefix of "ms": take the longest unit that fits.
        let (unit, scale) = UNITS
            .iter()
            .filter(|(unit, _)| tail.starts_with(unit))
            .max_by_key(|(unit, _)| unit.len())
            .ok_or(Error::Syntax)?;
        nanos = nanos
            .checked_add(scaled(number, *scale)?)
            .ok_or(Error::Range)?;
        rest = &tail[unit.len()..];
    }
    if negative && nanos > 0 {
        return Err(Error::Negative);
    }
    i64::try_from(nanos)
        .ok()
        .and_then(|nanos| u64::try_from(nanos).ok())
        .map(Duration::from_nanos)
        .ok_or(Error::Range)
}

/// `number` (digits, at most one point) times `scale`, truncated.
fn scaled(number: &str, scale: u128) -> Result<u128, Error> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(Error::Syntax);
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        // Only digits: the one way to fail is length.
        whole.parse().ok().ok_or(Error::Range)?
    };
    let mut total = whole.checked_mul(scale).ok_or(Error::Range)?;
    let mut unit = scale;
    for digit in fraction.chars().take(18) {
        unit /= 10;
        total += u128::from(digit.to_digit(10).ok_or(Error::Syntax)?) * unit;
    }
    Ok(total)
}

/// Writes a duration the way a person would: `1h30m`, `2.75s`, `500ms`, `0s`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000 {
        return format!("{nanos}ns");
    }
    if nanos < 1_000_000 {
        return format!("{}us", decimal(nanos, 1_000));
    }
    if nanos < 1_000_000_000 {
        return format!("{}ms", decimal(nanos, 1_000_000));
    }
    let minutes = nanos / 60_000_000_000;
    let rest = nanos % 60_000_000_000;
    let mut text = String::new();
    if minutes >= 60 {
        text += &format!("{}h", minutes / 60);
    }
    if !minutes.is_multiple_of(60) {
        text += &format!("{}m", minutes % 60);
    }
    if rest > 0 {
        text += &format!("{}s", decimal(rest, 1_000_000_000));
    }
    text
}

/// `value / scale` without trailing zeros.
fn decimal(value: u128, scale: u128) -> String {
    let width = scale.ilog10() as usize;
    let fraction = format!("{:0width$}", value % scale);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        format!("{}", value / scale)
    } else {
        format!("{}.{fraction}", value / scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_notation_is_read() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("90m", 5_400_000),
            ("1h30m", 5_400_000),
            ("1h30m0s", 5_400_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            (".5s", 500),
            ("1.s", 1_000),
            ("+2s", 2_000),
            ("-0s", 0),
            ("1000us", 1),
            ("1000µs", 1),
            ("1000000ns", 1),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_named() {
        for text in [
            "", "-", "5", "5 s", "s", ".s", "1.2.3s", "1d", "1h 30m", "abc",
        ] {
            assert_eq!(parse(text), Err(Error::Syntax), "{text}");
        }
        assert_eq!(parse("-5s"), Err(Error::Negative));
        assert_eq!(parse("9999999h"), Err(Error::Range));
        assert_eq!(
            parse("99999999999999999999999999999999999999999999h"),
            Err(Error::Range)
        );
    }

    #[test]
    fn what_is_written_can_be_read() {
        for (text, expect) in [
            ("90m", "1h30m"),
            ("2750ms", "2.75s"),
            ("500ms", "500ms"),
            ("0", "0s"),
            ("2h", "2h"),
            ("61s", "1m1s"),
            ("1500us", "1.5ms"),
            ("7ns", "7ns"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(format(duration), expect);
            assert_eq!(parse(expect), Ok(duration));
        }
    }
}
