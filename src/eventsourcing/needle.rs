//! A text that is looked for in what a database has put in small letters, in all the ways in which it may stand there.

/// Letters beyond ASCII that are looked for small and large in every combination; of more of them, small, large and as they are typed.
const COMBINED: usize = 3;

/// The text in small letters; and with those beyond ASCII large too, where the database knows the small letters of ASCII alone.
#[must_use]
pub fn in_text(text: &str) -> Vec<String> {
    all_of(&[text])
}

/// The same in JSON: the text, and where JSON writes it differently, as JSON writes it; and where it is itself a piece of JSON, without and with a blank
/// between the parts, as one database writes it and the other.
#[must_use]
pub fn in_json(text: &str) -> Vec<String> {
    let json = serde_json::Value::from(text).to_string();
    let json = json.trim_start_matches('"');
    let json = json.strip_suffix('"').unwrap_or(json);
    all_of(&[&spaced(text, ""), &spaced(text, " "), text, json])
}

fn all_of(texts: &[&str]) -> Vec<String> {
    let mut needles: Vec<String> = texts.iter().flat_map(|text| cases(text)).collect();
    needles.sort_unstable();
    needles.dedup();
    needles
}

fn cases(text: &str) -> Vec<String> {
    let small = text.to_lowercase();
    let (upper, lower) = (char::to_uppercase, char::to_lowercase);
    let has_cases = |one: &char| !one.is_ascii() && !upper(*one).eq(lower(*one));
    let letters = small.chars().filter(has_cases).count();
    // With the letters large of which the bit is set, counted from the first.
    let with_large = |large: usize| {
        let mut seen = 0;
        let letters = small.chars().map(|one| {
            let is_large = has_cases(&one) && {
                seen += 1;
                large >> (seen - 1) & 1 == 1
            };
            match is_large {
                true => upper(one).to_string(),
                false => one.to_string(),
            }
        });
        letters.collect::<String>()
    };
    let mut cases: Vec<String> = match letters <= COMBINED {
        true => (0..1 << letters).map(with_large).collect(),
        false => {
            let large = |one: char| match one.is_ascii() {
                true => one.to_string(),
                false => upper(one).to_string(),
            };
            let large = small.chars().map(large).collect();
            vec![large, small]
        }
    };
    // As it is typed: some letters are not the small ones of their large ones.
    cases.push(text.to_ascii_lowercase());
    cases
}

/// The text with this between a comma or a colon of JSON and what follows. Those of a sentence have letters on their sides, and stay.
fn spaced(text: &str, between: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(one) = rest.next() {
        let before = written.trim_end();
        let ends_part = match one {
            ':' => before.ends_with('"'),
            ',' => {
                let is_end = |last: char| "\"]}".contains(last) || last.is_ascii_digit();
                let ends_with = |word: &str| {
                    let end = before.len().checked_sub(word.len());
                    let end = end.and_then(|at| before.get(at..));
                    end.is_some_and(|end| end.eq_ignore_ascii_case(word))
                };
                before.ends_with(is_end) || ["true", "false", "null"].into_iter().any(ends_with)
            }
            _ => false,
        };
        written.push(one);
        let mut after = rest.clone();
        while after.next_if(|one| *one == ' ').is_some() {}
        let begins_part = |next: char| "\"[{-tfnTFN".contains(next) || next.is_ascii_digit();
        if ends_part && after.peek().is_some_and(|next| begins_part(*next)) {
            written.push_str(between);
            rest = after;
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_json_is_looked_for_as_each_database_writes_it() {
        assert_eq!(
            in_json(r#""grad":[1, -2,"A"]"#),
            [
                r#""grad": [1, -2, "a"]"#,
                r#""grad":[1, -2,"a"]"#,
                r#""grad":[1,-2,"a"]"#,
                r#"\"grad\":[1, -2,\"a\"]"#,
            ]
        );
        assert_eq!(in_json("true,null"), ["true, null", "true,null"]);
    }

    #[test]
    fn a_sentence_is_looked_for_as_it_is() {
        for text in [
            "acid, then base",
            "note: new",
            "12:30",
            "a,b",
            "1, or 2",
            "",
        ] {
            assert_eq!(in_json(text), [text]);
        }
    }

    #[test]
    fn letters_beyond_ascii_are_looked_for_small_and_large() {
        assert_eq!(in_text("ZOé"), ["zoÉ", "zoé"]);
        assert_eq!(in_text("Zoe"), ["zoe"]);
        assert_eq!(in_text("É Ü"), ["É Ü", "É ü", "é Ü", "é ü"]);
        assert_eq!(in_text("ÄÖüÄ"), ["ÄÖÜÄ", "ÄÖüÄ", "äöüä"]);
        // A letter without case, and one whose large form is two letters.
        assert_eq!(in_text("分"), ["分"]);
        assert_eq!(in_text("ß"), ["SS", "ß"]);
        assert!(in_text("İzmir").contains(&"İzmir".to_owned()));
        assert!(in_text("ǅ").contains(&"ǅ".to_owned()));
    }
}
