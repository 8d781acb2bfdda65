//! When two values are the same.

use std::cmp::Ordering;

use serde_json::Value;

/// Whether two column values are the same, as PostgreSQL's `jsonb` has it: numbers by their exact
/// decimal value (`0.0` is `0`, `1e2` is `100`), objects whatever the order of their keys,
/// everything else to the letter. Nothing is rounded: 2^53 and 2^53 + 1 differ.
#[must_use]
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.to_string(), b.to_string());
            a == b || decimal(&a) == decimal(&b)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// How two column values compare: numbers by their exact decimal value, text to the letter, false before true. NULL comes after
/// everything; values of different kinds are in the order boolean, number, text, anything else as its JSON.
#[must_use]
pub fn order(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Bool(_) => 0,
        Value::Number(_) => 1,
        Value::String(_) => 2,
        Value::Array(_) | Value::Object(_) => 3,
        Value::Null => 4,
    };
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => order_of_numbers(&a.to_string(), &b.to_string()),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)).then_with(|| match rank(a) {
            3 => a.to_string().cmp(&b.to_string()),
            _ => Ordering::Equal,
        }),
    }
}

fn order_of_numbers(a: &str, b: &str) -> Ordering {
    let ((a_negative, a, a_power), (b_negative, b, b_power)) = (decimal(a), decimal(b));
    let sign = |negative, digits: &str| match (digits.is_empty(), negative) {
        (true, _) => 0,
        (false, true) => -1,
        (false, false) => 1,
    };
    // The power of ten of the first digit; then digit by digit.
    let leading = |digits: &str, power: i64| power.saturating_add(digits.len() as i64);
    let size = leading(&a, a_power)
        .cmp(&leading(&b, b_power))
        .then_with(|| a.cmp(&b));
    let (a_sign, b_sign) = (sign(a_negative, &a), sign(b_negative, &b));
    a_sign.cmp(&b_sign).then(match a_sign {
        0 => Ordering::Equal,
        -1 => size.reverse(),
        _ => size,
    })
}

/// A JSON number's value: sign, significant digits without zeros at either end, and the power of
/// ten of the last digit. Zero has no digits, no sign and the power 0.
fn decimal(text: &str) -> (bool, String, i64) {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().unwrap_or(i64::MAX)),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return (false, String::new(), 0);
    }
    let trailing = i64::try_from(digits.len() - significant.len()).unwrap_or(i64::MAX);
    let decimals = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let power = exponent.saturating_sub(decimals).saturating_add(trailing);
    (negative, significant.to_owned(), power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn values_have_one_order_whatever_their_spelling() {
        let ascending = [
            "false",
            "true",
            "-1e400",
            "-12.5",
            "-12",
            "-0.5",
            "-5e-400",
            "0",
            "1e-400",
            "0.05",
            "0.5",
            "1",
            "1.5",
            "12",
            "9007199254740992",
            "9007199254740993",
            "1e400",
            "\"\"",
            "\"A\"",
            "\"B\"",
            "\"a\"",
            "[1]",
            "null",
        ];
        for (at, a) in ascending.iter().enumerate() {
            for (beside, b) in ascending.iter().enumerate() {
                assert_eq!(order(&value(a), &value(b)), at.cmp(&beside), "{a} and {b}");
            }
        }
        for (a, b) in [("1e2", "100"), ("-0.0", "0"), ("1.50", "15e-1")] {
            assert_eq!(order(&value(a), &value(b)), Ordering::Equal, "{a} and {b}");
        }
    }

    #[test]
    fn numbers_are_compared_exactly_whatever_their_spelling() {
        for (a, b) in [
            ("0", "0.0"),
            ("-0.0", "0"),
            ("100", "1e2"),
            ("1.50", "1.5"),
            ("0.001", "1E-3"),
            ("[1.0, {\"a\": 2.00}]", "[1, {\"a\": 2}]"),
            ("{\"a\": 1, \"b\": 2}", "{\"b\": 2, \"a\": 1}"),
        ] {
            assert!(same(&value(a), &value(b)), "{a} = {b}");
        }
        for (a, b) in [
            ("9007199254740992", "9007199254740993"),
            ("1", "-1"),
            ("0.1", "0.10000000000000000000000000000000001"),
            ("1", "\"1\""),
            ("null", "0"),
            ("{\"a\": 1}", "{\"a\": 1, \"b\": null}"),
            ("[1, 2]", "[2, 1]"),
        ] {
            assert!(!same(&value(a), &value(b)), "{a} ≠ {b}");
        }
    }
}
