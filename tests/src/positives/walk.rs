//! A random walk of a regular expression's tree.

use super::regex::{Expression, LENGTH_MAX, Node, Set};
use weir_synth::Random;

/// What a walk may lean on.
pub struct Leaning<'h> {
    /// Texts that should appear somewhere, in order.
    pub hints: &'h [Vec<u8>],
    /// Prefers long repetitions.
    pub long: bool,
    /// Bytes that are written already, from the string's start on.
    pub fixed: &'h [Option<u8>],
}

struct Walk<'w> {
    random: &'w mut Random,
    out: Vec<u8>,
    groups: Vec<Vec<u8>>,
    hints: Vec<Vec<u8>>,
    leaning: &'w Leaning<'w>,
}

impl Expression {
    /// A string of the expression, or nearly.
    pub fn walk(&self, random: &mut Random, leaning: &Leaning<'_>) -> Option<Vec<u8>> {
        let hints = leaning.hints.to_vec();
        let mut walk = Walk { random, out: Vec::new(), groups: vec![Vec::new(); self.groups + 1], hints, leaning };
        walk.node(&self.root)?;
        Some(walk.out)
    }
}

impl Walk<'_> {
    fn node(&mut self, node: &Node) -> Option<()> {
        if self.out.len() > LENGTH_MAX {
            return None;
        }
        match node {
            Node::Set(set) => {
                let byte = self.choose(set)?;
                self.out.push(byte);
            }
            Node::Sequence(nodes) => nodes.iter().try_for_each(|node| self.node(node))?,
            Node::Alternatives(nodes) => {
                // Those that go with what is written already come first.
                let from = self.out.len();
                let first = self.random.below(nodes.len() as u64) as usize;
                for n in 0..nodes.len() {
                    let hints = self.hints.clone();
                    let done = self.node(&nodes[(first + n) % nodes.len()]).is_some();
                    if done && self.fits(from) {
                        return Some(());
                    }
                    self.out.truncate(from);
                    self.hints = hints;
                }
                return None;
            }
            Node::Repeat(inner, least, most) => self.repeat(inner, *least, *most)?,
            Node::Group(number, inner) => {
                let from = self.out.len();
                self.node(inner)?;
                let text = self.out.get(from..).unwrap_or(&[]).to_vec();
                if let Some(group) = self.groups.get_mut(*number) {
                    *group = text;
                }
            }
            Node::Back(number) => {
                let text = self.groups.get(*number)?.clone();
                self.out.extend(text);
            }
            Node::Ahead | Node::Start | Node::End => {}
        }
        Some(())
    }

    fn fits(&self, from: usize) -> bool {
        let fixed = self.leaning.fixed;
        (from..self.out.len()).all(|at| fixed.get(at).is_none_or(|cell| cell.is_none_or(|byte| byte == self.out[at])))
    }

    fn choose(&mut self, set: &Set) -> Option<u8> {
        if let Some(Some(byte)) = self.leaning.fixed.get(self.out.len()) {
            return set[usize::from(*byte)].then_some(*byte);
        }
        let pick = |random: &mut Random, test: &dyn Fn(u8) -> bool| {
            let members: Vec<u8> = (0..=255u8).filter(|b| set[usize::from(*b)] && test(*b)).collect();
            (!members.is_empty()).then(|| random.pick(&members))
        };
        pick(self.random, &|b| b.is_ascii_alphanumeric())
            .or_else(|| pick(self.random, &|b| (33..127).contains(&b)))
            .or_else(|| pick(self.random, &|b| b == b' '))
            .or_else(|| pick(self.random, &|_| true))
    }

    fn repeat(&mut self, inner: &Node, least: usize, most: usize) -> Option<()> {
        // A hint that the repetition can take: its bytes stand for that many rounds.
        if let Node::Set(set) = inner {
            let mut budget = most;
            let mut written = 0;
            while let Some(at) =
                self.hints.iter().position(|h| h.len() <= budget && h.iter().all(|b| set[usize::from(*b)]))
            {
                if self.random.one_in(8) {
                    break;
                }
                let hint = self.hints.remove(at);
                budget -= hint.len();
                written += hint.len();
                self.out.extend(hint);
            }
            let rest = self.rounds(least.saturating_sub(written), budget.min(most.saturating_sub(written)));
            for _ in 0..rest {
                self.node(inner)?;
            }
            return Some(());
        }
        for _ in 0..self.rounds(least, most) {
            self.node(inner)?;
            if self.out.len() > LENGTH_MAX {
                return None;
            }
        }
        Some(())
    }

    fn rounds(&mut self, least: usize, most: usize) -> usize {
        let slack = most.saturating_sub(least).min(if self.leaning.long { 60 } else { 6 });
        // Few more than asked for: every further byte is one more that may offend another match.
        if slack == 0 || self.random.one_in(3) { least } else { least + self.random.below(slack as u64 + 1) as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_detect::pcre::{Outcome, PcreLimits, compile, ffi};
    use weir_ir::Pcre;

    fn pcre(pattern: &str) -> Pcre {
        Pcre { caseless: true, ..Pcre::new(pattern) }
    }

    #[test]
    fn strings_match_their_expression() {
        let mut random = Random::new(1);
        let mut matcher = ffi::Matcher::new(PcreLimits::default()).unwrap();
        for pattern in [
            r"^/[a-z]{3,5}\.php\?(?:id|user)=\d+&x=(.)\1$",
            r"\x2f[^\r\n\x3a]{4}\x2e\w+",
            r"^(?:\d{1,3}\.){3}\d{1,3}\/\d+\x00$",
            r"(?i:abc)+[[:xdigit:]]{8}-[\]a-f\-]",
            r"^[^\s]+\s+(one|two|three(?:four)?)\b",
        ] {
            let expression = Expression::read(&pcre(pattern)).unwrap();
            let code = compile(&pcre(pattern)).unwrap();
            for _ in 0..50 {
                let leaning = Leaning { hints: &[], long: false, fixed: &[] };
                let text = expression.walk(&mut random, &leaning).unwrap();
                let found = matcher.find(&code, &text, 0, true, false);
                assert!(matches!(found, Outcome::Match(..)), "{pattern}: {}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn hints_stand_where_the_expression_has_room() {
        let expression = Expression::read(&pcre("^[a-z.]{9}=.+$")).unwrap();
        let hints = [b"abc.".to_vec(), b"/def".to_vec()];
        let mut random = Random::new(2);
        let leaning = Leaning { hints: &hints, long: false, fixed: &[] };
        let texts: Vec<_> = (0..40).filter_map(|_| expression.walk(&mut random, &leaning)).collect();
        let holds = |text: &Vec<u8>, hint: &Vec<u8>| text.windows(hint.len()).any(|w| w == &hint[..]);
        assert!(texts.iter().any(|text| hints.iter().all(|hint| holds(text, hint))));
        assert!(expression.begins() && expression.ends());
    }
}
