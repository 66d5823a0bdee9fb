//! Whatever stands in a file is read or refused, in bounded time, and nothing panics.

use super::{Flags, read};

/// Pieces that mean something to YAML or to us.
const PIECES: &[&str] = &[
    "\t",
    "\n",
    "\r",
    "  ",
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    "- ",
    "#",
    "&a",
    "*a",
    "<<: *a",
    "!t ",
    "|\n",
    ">-\n",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "? ",
    "~",
    "${",
    "${NONE}",
    "${NONE:-x}",
    "$${",
    "}",
    "0",
    "-1",
    "99999999999999999999",
    "1e999",
    ".nan",
    "0x",
    "é",
    "\u{feff}",
    "\u{0}",
    "😀",
    "@",
    "`",
    "{a: {a: {a: ",
    "[[[[",
    "=",
    "\\",
    "\\u12",
    "http://",
    "a:b@c",
    "/*",
];

/// A generator with a fixed seed, so that a failure comes again (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

fn mutate(text: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.roll(text.len().max(1)).min(text.len());
    let end = (at + dice.roll(40)).min(text.len());
    match dice.roll(6) {
        0 => drop(text.drain(at..end)),
        1 => {
            let piece = PIECES[dice.roll(PIECES.len())].bytes();
            drop(text.splice(at..at, piece));
        }
        2 => {
            let piece = PIECES[dice.roll(PIECES.len())].bytes();
            drop(text.splice(at..end, piece));
        }
        3 => {
            let copy = text[at..end].to_vec();
            let to = dice.roll(text.len() + 1);
            drop(text.splice(to..to, copy));
        }
        4 if at < text.len() => text[at] = u8::try_from(dice.roll(256)).unwrap(),
        _ => text.truncate(end),
    }
}

/// One line for each mistake, and each with its place.
fn check(text: &str) -> bool {
    match read(text, &[], &Flags::default()) {
        Ok(_) => true,
        Err(error) => {
            for line in error.to_string().lines() {
                assert!(line.starts_with("g.yaml:"), "{line}\nin:\n{text}");
                assert!(line.len() < 1000, "{line}\nin:\n{text}");
            }
            false
        }
    }
}

#[test]
fn no_variation_of_the_sample_panics() {
    let sample = super::shipped::uncommented();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for _ in 0..600 {
        let mut text = sample.clone().into_bytes();
        for _ in 0..=dice.roll(4) {
            mutate(&mut text, &mut dice);
        }
        accepted += usize::from(check(&String::from_utf8_lossy(&text)));
    }
    // Both ways were taken often enough for this to mean something.
    assert!(
        (30..570).contains(&accepted),
        "{accepted} of 600 were accepted"
    );
}

#[test]
fn no_heap_of_pieces_panics() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for _ in 0..600 {
        let length = dice.roll(30);
        let text: String = (0..length)
            .map(|_| PIECES[dice.roll(PIECES.len())])
            .collect();
        check(&text);
    }
}

#[test]
fn depth_and_repetition_have_an_end() {
    let bomb = (0..40).fold("a0: &a0 [x, x]\n".to_owned(), |text, level| {
        let next = level + 1;
        text + &format!("a{next}: &a{next} [*a{level}, *a{level}]\n")
    });
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        format!("ui: {}", "[".repeat(100_000)),
        format!("functions: {{ a: {{ process: {} }} }}", "[".repeat(10_000)),
        "? ".repeat(100_000),
        format!("provider:\n  images:\n{}", bomb.replace("a", "    a")),
        format!(
            "functions:\n  x: {{ labels: {{ {}: y }} }}",
            "k".repeat(100_000)
        ),
    ] {
        assert!(!check(&text), "{}…", &text[..40]);
    }
}
