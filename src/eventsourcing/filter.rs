//! A filter as people type it: `type:molecule event:update actor:tga uuid:c053 since:2020-02-17 until:"2020-02-18 12:00" acid`.

use super::error::{Error, ErrorCode, Result};
use super::timeline::Filter;
use super::timestamp::{self, Timestamp};

/// The words that may stand before a colon.
pub const KEYS: [&str; 6] = ["type", "event", "actor", "uuid", "since", "until"];

impl Filter {
    /// Reads a filter. What has no key is searched for in the data, as one text. A value with blanks in it stands in quotation marks.
    ///
    /// # Errors
    /// `Usage` for an event kind, a uuid or a moment that is none, and for a key that is named twice.
    pub fn parse(text: &str) -> Result<Self> {
        let mut filter = Self::default();
        let (searched, others): (Vec<Word>, Vec<Word>) =
            words(text).into_iter().partition(|word| word.key.is_none());
        for word in others {
            match word.key {
                // As it is being typed, a key has no value yet: it asks for nothing.
                Some(key) if !word.value.trim_matches('=').is_empty() => {
                    filter.set(key, word.value)?;
                }
                _ => {}
            }
        }
        let search = match searched.as_slice() {
            [word] => word.value.clone(),
            words => as_typed(text, words),
        };
        filter.search = (!search.is_empty()).then_some(search);
        Ok(filter)
    }

    fn set(&mut self, key: &str, value: String) -> Result<()> {
        let is_set = match key {
            "type" => self.table.replace(value).is_some(),
            "event" => {
                let kind = value.parse();
                let kind =
                    kind.map_err(|error| Error::new(ErrorCode::Usage, format!("{error}")))?;
                self.kind.replace(kind).is_some()
            }
            "actor" => self.actor.replace(value).is_some(),
            "uuid" => self.uuid_prefix.replace(uuid_prefix(&value)?).is_some(),
            "since" => self.since.replace(moment(&value)?).is_some(),
            _ => {
                let until = timestamp::last_moment(&value, moment(&value)?);
                self.until.replace(until).is_some()
            }
        };
        match is_set {
            false => Ok(()),
            true => Err(Error::new(
                ErrorCode::Usage,
                format!("{key}: is there twice"),
            )),
        }
    }
}

/// One word of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The key before its colon, if it has one.
    pub key: Option<&'static str>,
    /// The rest, without quotation marks.
    pub value: String,
    /// Where its value begins in the text, in characters.
    pub value_at: usize,
    /// Where it ends, with its quotation marks.
    pub end: usize,
}

/// Several words as they stand in the text, with their quotation marks and the blanks between them: a piece of JSON has both. Where a key stands between
/// two, there is one blank.
fn as_typed(text: &str, words: &[Word]) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut searched = String::new();
    let mut before: Option<usize> = None;
    for word in words {
        let between = before.map_or(&[][..], |end| &characters[end..word.value_at]);
        match between.iter().all(|one| one.is_whitespace()) {
            true => searched.extend(between),
            false => searched.push(' '),
        }
        searched.extend(&characters[word.value_at..word.end]);
        before = Some(word.end);
    }
    searched
}

/// The words of a filter, in order. Quotation marks hold a word together that begins and ends with one, and an open one goes to the end; elsewhere
/// they are characters like others, so that JSON can be searched for.
#[must_use]
pub fn words(text: &str) -> Vec<Word> {
    let characters: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        if characters[at].is_whitespace() {
            at += 1;
            continue;
        }
        let rest: String = characters[at..].iter().collect();
        let key = KEYS.into_iter().find(|key| {
            rest.strip_prefix(key)
                .is_some_and(|rest| rest.starts_with(':'))
        });
        at += key.map_or(0, |key| key.len() + 1);
        let value_at = at;
        let rest = &characters[at..];
        let value = match quoted(rest) {
            Some(length) => {
                let value = rest[1..].iter().take(length).collect();
                // With its marks, of which the last may not be there yet.
                at = (at + length + 2).min(characters.len());
                value
            }
            None => {
                let word = rest.iter().take_while(|one| !one.is_whitespace());
                let mut value: String = word.collect();
                if matches!(key, Some("since" | "until")) {
                    value.push_str(&time_after(&value, &rest[value.chars().count()..]));
                }
                at += value.chars().count();
                value
            }
        };
        words.push(Word {
            key,
            value,
            value_at,
            end: at,
        });
    }
    words
}

/// The time of day after a day, and the zone after that, with the blanks before them: as texts to search for nobody means them.
fn time_after(day: &str, rest: &[char]) -> String {
    let next = |rest: &[char]| match rest.split_first() {
        Some((&' ', rest)) => rest.iter().take_while(|one| !one.is_whitespace()).collect(),
        _ => String::new(),
    };
    let has_time = day.len() > "2020-02-17".len();
    let time = next(rest);
    let is_time =
        day.len() == "2020-02-17".len() && has_digits(&time) && time[2..].starts_with(':');
    let (mut after, rest) = match is_time {
        true => (format!(" {time}"), &rest[time.chars().count() + 1..]),
        false => (String::new(), rest),
    };
    let zone = next(rest);
    let is_zone = zone == "Z" || zone.strip_prefix(['+', '-']).is_some_and(has_digits);
    if is_zone && (is_time || has_time) {
        after.push_str(&format!(" {zone}"));
    }
    after
}

/// Whether a text begins with two digits.
fn has_digits(text: &str) -> bool {
    let first = text.as_bytes().get(..2);
    first.is_some_and(|first| first.iter().all(u8::is_ascii_digit))
}

/// How many characters stand between quotation marks at the beginning of this, where the second one ends a word or is not there yet.
fn quoted(text: &[char]) -> Option<usize> {
    let inside = text.strip_prefix(&['"'])?;
    let Some(end) = inside.iter().position(|one| *one == '"') else {
        return Some(inside.len());
    };
    let is_end = inside.get(end + 1).is_none_or(|next| next.is_whitespace());
    is_end.then_some(end)
}

fn uuid_prefix(text: &str) -> Result<String> {
    let prefix = text.to_lowercase();
    let is_hexadecimal = prefix.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    match is_hexadecimal && prefix.len() <= 36 {
        true => Ok(prefix),
        false => Err(Error::new(
            ErrorCode::Usage,
            format!("\"{text}\" does not begin a uuid"),
        )
        .hint("a uuid has hexadecimal digits, like 0e0e76e9")),
    }
}

fn moment(text: &str) -> Result<Timestamp> {
    timestamp::parse_typed(text).ok_or_else(|| {
        Error::new(ErrorCode::Usage, format!("\"{text}\" is no moment yet"))
            .hint("write it like 2020-02-17 or 2020-02-17 03:09")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventsourcing::EventKind;

    #[test]
    fn keys_and_free_text_are_told_apart() {
        let text = r#"type:molecule  event:update uuid:C053 since:2020-02-17 until:"2020-02-18 12:00" acetic acid"#;
        let filter = Filter::parse(text).expect("a filter");
        assert_eq!(
            filter,
            Filter {
                table: Some("molecule".to_owned()),
                kind: Some(EventKind::Update),
                uuid_prefix: Some("c053".to_owned()),
                actor: None,
                since: timestamp::parse("2020-02-17"),
                until: timestamp::parse("2020-02-18T12:00"),
                search: Some("acetic acid".to_owned()),
            }
        );
        assert_eq!(
            Filter::parse(" type: ").expect("nothing yet"),
            Filter::default()
        );
        for (text, search) in [
            ("smiles:ABC", "smiles:ABC"),
            (r#""status":"failed""#, r#""status":"failed""#),
            (r#""temp_K":298.15 "#, r#""temp_K":298.15"#),
            (r#""lock":0.67 acid"#, r#""lock":0.67 acid"#),
            (r#"5" pipe"#, r#"5" pipe"#),
            (r#""a  b" c"#, r#""a  b" c"#),
            (r#""open quote"#, "open quote"),
            ("abcdef", "abcdef"),
            ("0e0e76e9x", "0e0e76e9x"),
        ] {
            let filter = Filter::parse(text).expect("free text");
            assert_eq!(filter.search.as_deref(), Some(search), "{text}");
        }
        let bare = "since:2020-02-17 03:09 until:2020-02-18 12:00:30.5 acid 03:10";
        let bare = Filter::parse(bare).expect("moments without quotation marks");
        assert_eq!(bare.since, timestamp::parse("2020-02-17T03:09"));
        assert_eq!(bare.until, timestamp::parse("2020-02-18T12:00:30.5"));
        assert_eq!(bare.search.as_deref(), Some("acid 03:10"));
        for zoned in [
            "since:2020-02-17 05:09 +02:00 acid",
            "since:2020-02-17T05:09 +0200 acid",
            "since:2020-02-17 03:09 Z acid",
            "since:2020-02-17 03:09 -00 acid",
        ] {
            let filter = Filter::parse(zoned).expect(zoned);
            assert_eq!(filter.since, bare.since, "{zoned}");
            assert_eq!(filter.search.as_deref(), Some("acid"), "{zoned}");
        }
        // Without a time of day it is a text.
        let filter = Filter::parse("since:2020-02-17 +02 acid").expect("a filter");
        assert_eq!(filter.search.as_deref(), Some("+02 acid"));
        let day = Filter::parse("since:2020-02-17 until:2020-02-17").expect("a day");
        assert_eq!(day.until, timestamp::parse("2020-02-17T23:59:59.999999"));
        for uuid in [
            "0e0e76e9",
            "0E0E76E9-ab0c",
            "e3dde6c2-ab0c-4c77-9d55-e52d58a1425d",
        ] {
            let filter = Filter::parse(uuid).expect("a uuid");
            assert_eq!(filter.uuid_searched(), Some(uuid.to_lowercase()));
        }
        for text in ["0e0e76e", "0e0e76e9x", "acetic acid"] {
            let filter = Filter::parse(text).expect("a text");
            assert_eq!(filter.uuid_searched(), None, "{text}");
        }
    }

    #[test]
    fn a_key_without_a_value_asks_for_nothing_yet() {
        for text in ["actor:", "actor:=", "type:", "since:"] {
            assert_eq!(Filter::parse(text), Ok(Filter::default()), "{text}");
        }
        let exactly = Filter::parse("actor:=root").expect("an actor");
        assert_eq!(exactly.exact_actor(), Some("root"));
    }

    #[test]
    fn several_words_are_looked_for_as_they_are_typed() {
        for (text, searched) in [
            (r#""status": "running""#, r#""status": "running""#),
            (r#"{"status": "runn"#, r#"{"status": "runn"#),
            (r#"größe "q""#, r#"größe "q""#),
            (r#""b":"x  y""#, r#""b":"x  y""#),
            (r#""acetic  acid""#, "acetic  acid"),
            (
                r#"type:molecule "acetic  acid" since:2020-02-17"#,
                "acetic  acid",
            ),
            ("  acid  then base ", "acid  then base"),
            ("acid type:molecule  base", "acid base"),
        ] {
            let filter = Filter::parse(text).expect(text);
            assert_eq!(filter.search.as_deref(), Some(searched), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_words() {
        for (text, says) in [
            ("event:updat", "no event kind \"updat\""),
            ("uuid:xyz", "does not begin a uuid"),
            ("since:yesterday", "no moment"),
            ("until:-4713-01-01", "no moment"),
            ("type:a type:b", "twice"),
        ] {
            let error = Filter::parse(text).expect_err(text);
            assert!(error.message.contains(says), "{text}: {}", error.message);
        }
    }
}
