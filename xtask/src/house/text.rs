//! Size of files, and notes to ourselves that nobody would find again.

use super::Breach;

/// Longest file. Aim for 300; this is where we stop.
const MAX_LINES: usize = 500;

/// In two pieces, or this line would be a breach itself.
const NOTE: &str = concat!("TO", "DO");

pub(super) fn check(file: &str, text: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        let what = format!("{lines} lines, more than {MAX_LINES}: split it by what it knows");
        breaches.push(Breach {
            file: file.to_owned(),
            line: 0,
            what,
        });
    }
    for (index, line) in text.lines().enumerate() {
        if notes(line).any(|after| !has_number(after)) {
            let what = format!("write `{NOTE}(#123): …` with the number of an issue");
            breaches.push(Breach {
                file: file.to_owned(),
                line: index + 1,
                what,
            });
        }
    }
    breaches
}

/// What follows each note of a line.
fn notes(line: &str) -> impl Iterator<Item = &str> {
    line.split(NOTE).skip(1)
}

fn has_number(after: &str) -> bool {
    after
        .strip_prefix("(#")
        .and_then(|rest| rest.split_once(')'))
        .is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_a_breach() {
        assert_eq!(check("a.rs", &"x\n".repeat(MAX_LINES)), []);
        assert_eq!(check("a.rs", &"x\n".repeat(MAX_LINES + 1)).len(), 1);
    }

    #[test]
    fn a_note_needs_the_number_of_an_issue() {
        assert_eq!(check("a.rs", &format!("// {NOTE}(#12): later\n")), []);
        for bad in [": later", "(me): later", "(#): later", "(#12 later"] {
            let breaches = check("a.rs", &format!("fn a() {{}}\n// {NOTE}{bad}\n"));
            assert_eq!(breaches.first().map(|breach| breach.line), Some(2), "{bad}");
        }
    }
}
