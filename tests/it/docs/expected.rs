//! Whether a terminal shows what a document says: `…` in a line is any text, and a line that is nothing
//! else is any number of lines.

/// Stands for what differs from one time to the next.
const ANYTHING: &str = "…";

/// Whether this is what was to be expected.
pub fn is_expected(expected: &[String], shown: &str) -> bool {
    let expected: Vec<&str> = expected.iter().map(|line| line.trim_end()).collect();
    let shown: Vec<&str> = shown.trim_end().lines().map(str::trim_end).collect();
    lines_fit(&expected, &shown)
}

fn lines_fit(expected: &[&str], shown: &[&str]) -> bool {
    match expected.split_first() {
        None => shown.is_empty(),
        Some((line, rest)) if line.trim() == ANYTHING => {
            (0..=shown.len()).any(|skipped| lines_fit(rest, &shown[skipped..]))
        }
        Some((line, rest)) => shown
            .split_first()
            .is_some_and(|(first, others)| line_fits(line, first) && lines_fit(rest, others)),
    }
}

fn line_fits(expected: &str, shown: &str) -> bool {
    let Some((begin, rest)) = expected.split_once(ANYTHING) else {
        return expected == shown;
    };
    let Some(mut left) = shown.strip_prefix(begin) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split(ANYTHING).collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(expected: &[&str], shown: &str) -> bool {
        let expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        is_expected(&expected, shown)
    }

    #[test]
    fn lines_are_compared_as_they_are() {
        assert!(fits(&["a", "", "b"], "a\r\n\nb  \n\n"));
        assert!(!fits(&["a"], "a\nb\n"));
        assert!(!fits(&["a", "b"], "a\n"));
        assert!(!fits(&["a"], "A"));
        assert!(!fits(&["a"], ""));
    }

    #[test]
    fn dots_are_any_text_within_a_line() {
        assert!(fits(&["id: …"], "id: 17"));
        assert!(fits(
            &["{…\"state\":\"done\"…}"],
            "{\"id\":1,\"state\":\"done\"}"
        ));
        assert!(fits(&["…-…-…"], "1-2-3-4"));
        assert!(!fits(&["id: …"], "name: 17"));
        assert!(!fits(&["id: …!"], "id: 17"));
        assert!(!fits(&["a…b…c"], "a c b"));
        assert!(!fits(&["a…"], "a\nb"));
        assert!(!fits(&["ab…b"], "ab"));
    }

    #[test]
    fn dots_alone_are_any_lines() {
        assert!(fits(&["…"], ""));
        assert!(fits(&["…", "b"], "b"));
        assert!(fits(&["a", "…", "d"], "a\nb\nc\nd"));
        assert!(!fits(&["a", "…", "d"], "a\nb\nc"));
    }
}
