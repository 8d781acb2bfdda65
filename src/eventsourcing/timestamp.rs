//! Moments: how they are read and written, the same everywhere.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, SubsecRound, TimeDelta, Utc};

/// A moment in UTC, with microseconds.
pub type Timestamp = DateTime<Utc>;

/// RFC 3339 in UTC with microseconds, which sorts as text: `2020-02-17T03:09:48.219183Z`.
#[must_use]
pub fn format(timestamp: Timestamp) -> String {
    timestamp.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// The form of a rollback's `before`: UTC without zone, `2020-02-17T03:09:59.145749`.
#[must_use]
pub fn format_without_zone(timestamp: Timestamp) -> String {
    timestamp.format("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}

/// The text that PostgreSQL's `to_jsonb` gives a `timestamp`: no zone, and no trailing zeros in
/// the fraction. Both stores write time columns so, so that their rows are equal.
#[must_use]
pub fn column_text(timestamp: Timestamp) -> String {
    let text = format_without_zone(timestamp);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Reads a moment with or without zone (without: UTC): `2020-02-17`, `2020-02-17 03:09`,
/// `2020-02-17T03:09:59.145749`, `…Z`, `…+01:00`. `None` when the text is no moment.
/// Digits past the microsecond are cut, as no stored timestamp has them.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    for with_zone in [
        "%Y-%m-%dT%H:%M:%S%.f%#z",
        "%Y-%m-%d %H:%M:%S%.f%#z",
        "%Y-%m-%dT%H:%M%#z",
        "%Y-%m-%d %H:%M%#z",
        "%Y-%m-%dT%H:%M:%S%.f %#z",
        "%Y-%m-%d %H:%M:%S%.f %#z",
        "%Y-%m-%dT%H:%M %#z",
        "%Y-%m-%d %H:%M %#z",
    ] {
        if let Ok(moment) = DateTime::parse_from_str(text, with_zone) {
            return Some(moment.with_timezone(&Utc).trunc_subsecs(6));
        }
    }
    for without_zone in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
    ] {
        if let Ok(moment) = NaiveDateTime::parse_from_str(text, without_zone) {
            return Some(moment.and_utc().trunc_subsecs(6));
        }
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc())
}

/// The same of what a person types, which is a moment of the years 1 to 9999: others do not sort as text, and PostgreSQL refuses the earliest of them.
#[must_use]
pub fn parse_typed(text: &str) -> Option<Timestamp> {
    parse(text).filter(|moment| (1..=9999).contains(&moment.year()))
}

/// The last moment that is meant by a text that was read as this one, where it says until when: of a day all of it, and of a second, as lists show
/// moments to the second.
#[must_use]
pub fn last_moment(text: &str, moment: Timestamp) -> Timestamp {
    let text = text.trim();
    let has_second = text.as_bytes().get("2020-02-17 03:09".len()) == Some(&b':');
    let length = match text.len() {
        10 => TimeDelta::days(1),
        _ if has_second && !text.contains('.') => TimeDelta::seconds(1),
        _ => return moment,
    };
    moment + length - TimeDelta::microseconds(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_a_day_or_a_second_means_all_of_it() {
        for (text, last) in [
            ("2020-02-17", "2020-02-17T23:59:59.999999"),
            ("2020-02-17 03:09:48", "2020-02-17T03:09:48.999999"),
            ("2020-02-17T03:09:48+01:00", "2020-02-17T02:09:48.999999"),
            ("2020-02-17 03:09", "2020-02-17T03:09:00"),
            ("2020-02-17T03:09+01:00", "2020-02-17T02:09:00"),
            ("2020-02-17T03:09:48.5", "2020-02-17T03:09:48.5"),
        ] {
            let moment = parse(text).expect(text);
            assert_eq!(Some(last_moment(text, moment)), parse(last), "{text}");
        }
    }

    #[test]
    fn a_moment_is_read_with_and_without_zone() {
        let expected = "2020-02-17T03:09:59.145749Z";
        for text in [
            "2020-02-17T03:09:59.145749",
            "2020-02-17 03:09:59.145749",
            "2020-02-17T03:09:59.145749Z",
            "2020-02-17T04:09:59.145749+01:00",
            "2020-02-17 04:09:59.145749+01",
            "2020-02-17 04:09:59.145749 +0100",
            "2020-02-17T03:09:59.1457499",
        ] {
            let moment = parse(text).unwrap_or_else(|| panic!("{text} is a moment"));
            assert_eq!(format(moment), expected, "{text}");
        }
        assert_eq!(
            parse("2020-02-17").map(format).as_deref(),
            Some("2020-02-17T00:00:00.000000Z")
        );
        for text in ["", "yesterday", "2020-13-01", "2020-02-30T00:00:00", "15"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_typed_has_a_year_of_four_digits() {
        for (text, is_taken) in [
            ("0001-01-01", true),
            ("9999-12-31", true),
            ("-4713-01-01", false),
            ("0000-12-31", false),
            ("+10000-01-01", false),
            ("0001-01-01 00:30+01:00", false),
        ] {
            assert!(parse(text).is_some(), "{text}");
            assert_eq!(parse_typed(text).is_some(), is_taken, "{text}");
        }
    }

    #[test]
    fn a_time_column_has_no_trailing_zeros() {
        let text = |t: &str| parse(t).map(column_text);
        assert_eq!(
            text("2020-02-17T03:09:48.509270Z").as_deref(),
            Some("2020-02-17T03:09:48.50927")
        );
        assert_eq!(
            text("2020-02-17T03:09:00Z").as_deref(),
            Some("2020-02-17T03:09:00")
        );
    }
}
