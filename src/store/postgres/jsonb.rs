//! What `jsonb` makes of JSON, for who knows what was sent and need not ask for it back.

use serde_json::{Number, Value};

use crate::eventsourcing::Row;

/// A row as a database in UTF-8 gives it back: the keys of objects by length and then by bytes, numbers without exponents and with as
/// many digits after the point as were given (`1.50e1` is `15.0`).
///
/// Source: PostgreSQL's `lengthCompareJsonbStringValue` and `numeric_in`.
pub(super) fn normal(row: &Row) -> Row {
    let mut columns: Vec<_> = row.iter().collect();
    columns.sort_by(|(a, _), (b, _)| (a.len(), a.as_bytes()).cmp(&(b.len(), b.as_bytes())));
    columns
        .into_iter()
        .map(|(name, value)| (name.clone(), normal_value(value)))
        .collect()
}

fn normal_value(value: &Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(normal(object)),
        Value::Array(values) => Value::Array(values.iter().map(normal_value).collect()),
        Value::Number(number) => Value::Number(normal_number(number)),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// More digits than any number has that a database takes.
const DIGITS: i64 = 150_000;

fn normal_number(number: &Number) -> Number {
    let given = number.as_str();
    let (negative, unsigned) = match given.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, given),
    };
    let exponent = unsigned.find(['e', 'E']);
    if exponent.is_none() && !negative {
        return number.clone();
    }
    let (mantissa, exponent) =
        exponent.map_or((unsigned, "0"), |at| (&unsigned[..at], &unsigned[at + 1..]));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let places = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let Some(exponent) = exponent
        .parse::<i64>()
        .ok()
        .filter(|exponent| exponent.abs() < DIGITS)
    else {
        return number.clone();
    };
    let digits: String = [whole, fraction].concat();
    let zero = digits.bytes().all(|digit| digit == b'0');
    // Where the point stands among the digits.
    let point = if zero { 0 } else { places(whole) + exponent };
    let scale = (places(fraction) - exponent).max(0);
    let digit = |at: i64| {
        let found = usize::try_from(at)
            .ok()
            .and_then(|at| digits.as_bytes().get(at));
        found.map_or('0', |digit| char::from(*digit))
    };
    let whole: String = (0..point).map(digit).collect();
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let mut text = String::new();
    if negative && !zero {
        text.push('-');
    }
    text.push_str(whole);
    if scale > 0 {
        text.push('.');
        text.extend((point..point + scale).map(digit));
    }
    text.parse().unwrap_or_else(|_| number.clone())
}
