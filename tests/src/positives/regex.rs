//! Regular expressions as trees.
//!
//! A small reader of the PCRE syntax that rules use. A random walk of the tree (`walk`) is a proposal: what it
//! writes is checked with the engine's own library. Look-around and word boundaries are therefore read and ignored.

use weir_ir::Pcre;

/// Most bytes of one string.
pub(super) const LENGTH_MAX: usize = 20_000;
/// Deepest nesting that is read.
const DEPTH_MAX: usize = 60;

pub(super) type Set = [bool; 256];

#[derive(Debug, Clone)]
pub(super) enum Node {
    Set(Box<Set>),
    Sequence(Vec<Node>),
    Alternatives(Vec<Node>),
    Repeat(Box<Node>, usize, usize),
    Group(usize, Box<Node>),
    Back(usize),
    /// `(?=…)`: written out in front of what follows where that is free.
    Ahead,
    Start,
    End,
}

/// An expression that was read.
#[derive(Debug)]
pub struct Expression {
    pub(super) root: Node,
    pub(super) groups: usize,
}

/// The expression starts at the subject's start.
fn begins(node: &Node) -> bool {
    match node {
        Node::Start => true,
        Node::Sequence(nodes) => nodes.iter().find(|n| !matches!(n, Node::Ahead)).is_some_and(begins),
        Node::Alternatives(nodes) => nodes.iter().all(begins),
        Node::Group(_, node) => begins(node),
        _ => false,
    }
}

fn ends(node: &Node) -> bool {
    match node {
        Node::End => true,
        Node::Sequence(nodes) => nodes.iter().rev().find(|n| !matches!(n, Node::Ahead)).is_some_and(ends),
        Node::Alternatives(nodes) => nodes.iter().any(ends),
        Node::Group(_, node) => ends(node),
        _ => false,
    }
}

struct Reader<'p> {
    text: &'p [u8],
    at: usize,
    groups: usize,
    names: Vec<(Vec<u8>, usize)>,
    depth: usize,
    caseless: bool,
    dotall: bool,
    extended: bool,
}

fn set_of(test: impl Fn(u8) -> bool) -> Box<Set> {
    let mut set = Box::new([false; 256]);
    for byte in 0..=255u8 {
        set[usize::from(byte)] = test(byte);
    }
    set
}

fn class(letter: u8) -> Option<Box<Set>> {
    let space = |b: u8| matches!(b, b' ' | 9..=13);
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    Some(match letter {
        b'd' => set_of(|b| b.is_ascii_digit()),
        b'D' => set_of(|b| !b.is_ascii_digit()),
        b's' => set_of(space),
        b'S' => set_of(|b| !space(b)),
        b'w' => set_of(word),
        b'W' => set_of(|b| !word(b)),
        b'h' => set_of(|b| matches!(b, b' ' | 9)),
        b'H' => set_of(|b| !matches!(b, b' ' | 9)),
        b'v' => set_of(|b| matches!(b, 10..=13)),
        b'N' => set_of(|b| b != b'\n'),
        _ => return None,
    })
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.text[self.at..].starts_with(text.as_bytes());
        if found {
            self.at += text.len();
        }
        found
    }

    fn folded(&self, mut set: Box<Set>) -> Box<Set> {
        if self.caseless {
            for letter in b'a'..=b'z' {
                let either = set[usize::from(letter)] || set[usize::from(letter - 32)];
                set[usize::from(letter)] = either;
                set[usize::from(letter - 32)] = either;
            }
        }
        set
    }

    fn alternatives(&mut self) -> Option<Node> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        // Flags that are set inside hold up to the end of the group.
        let flags = (self.caseless, self.dotall, self.extended);
        let mut all = vec![self.sequence()?];
        while self.eat("|") {
            all.push(self.sequence()?);
        }
        (self.caseless, self.dotall, self.extended) = flags;
        self.depth -= 1;
        Some(if all.len() == 1 { all.remove(0) } else { Node::Alternatives(all) })
    }

    fn sequence(&mut self) -> Option<Node> {
        let mut nodes = Vec::new();
        while let Some(byte) = self.peek() {
            if matches!(byte, b'|' | b')') {
                break;
            }
            if self.extended && byte.is_ascii_whitespace() {
                self.at += 1;
                continue;
            }
            if let Some(node) = self.atom()? {
                let node = self.quantified(node)?;
                nodes.push(node);
            }
        }
        Some(Node::Sequence(nodes))
    }

    fn number(&mut self) -> Option<usize> {
        let from = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        std::str::from_utf8(&self.text[from..self.at]).ok()?.parse().ok()
    }

    fn quantified(&mut self, node: Node) -> Option<Node> {
        let mut node = node;
        loop {
            let from = self.at;
            let (least, most) = match self.peek() {
                Some(b'*') => (0, usize::MAX),
                Some(b'+') => (1, usize::MAX),
                Some(b'?') => (0, 1),
                Some(b'{') => {
                    self.at += 1;
                    let Some(least) = self.number() else {
                        self.at = from;
                        return Some(node);
                    };
                    let most = if self.eat(",") { self.number().unwrap_or(usize::MAX) } else { least };
                    if self.peek() != Some(b'}') {
                        self.at = from;
                        return Some(node);
                    }
                    (least, most)
                }
                _ => return Some(node),
            };
            self.at += 1;
            let _ = self.eat("?") || self.eat("+");
            if least > LENGTH_MAX {
                return None;
            }
            node = Node::Repeat(Box::new(node), least, most);
        }
    }

    fn escape(&mut self, in_class: bool) -> Option<Option<Node>> {
        let letter = self.take()?;
        if let Some(set) = class(letter) {
            return Some(Some(Node::Set(set)));
        }
        let byte = match letter {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'f' => 12,
            b'a' => 7,
            b'e' => 27,
            b'x' => {
                let braces = self.eat("{");
                let from = self.at;
                while self.at < from + if braces { 8 } else { 2 } && self.peek().is_some_and(|b| b.is_ascii_hexdigit())
                {
                    self.at += 1;
                }
                let digits = std::str::from_utf8(&self.text[from..self.at]).ok()?;
                let value = u8::from_str_radix(digits, 16).unwrap_or(0);
                if braces {
                    self.eat("}");
                }
                value
            }
            b'b' if in_class => 8,
            b'b' | b'B' | b'K' => return Some(None),
            b'A' | b'G' => return Some(Some(Node::Start)),
            b'z' | b'Z' => return Some(Some(Node::End)),
            b'R' => return Some(Some(Node::Set(set_of(|b| b == b'\n')))),
            b'0' => {
                let from = self.at;
                while self.at < from + 2 && self.peek().is_some_and(|b| (b'0'..b'8').contains(&b)) {
                    self.at += 1;
                }
                let digits = std::str::from_utf8(&self.text[from..self.at]).ok()?;
                u8::from_str_radix(digits, 8).unwrap_or(0)
            }
            b'1'..=b'9' if !in_class => {
                self.at -= 1;
                return Some(Some(Node::Back(self.number()?)));
            }
            b'g' | b'k' => return None,
            other => other,
        };
        Some(Some(Node::Set(self.folded(set_of(|b| b == byte)))))
    }

    fn bracket(&mut self) -> Option<Node> {
        let negated = self.eat("^");
        let mut set = Box::new([false; 256]);
        let mut first = true;
        loop {
            if self.eat("[:") {
                let from = self.at;
                while self.peek()? != b':' {
                    self.at += 1;
                }
                let name = &self.text[from..self.at];
                self.at += 1;
                self.eat("]");
                for byte in 0..=255u8 {
                    set[usize::from(byte)] |= match name {
                        b"alpha" => byte.is_ascii_alphabetic(),
                        b"digit" => byte.is_ascii_digit(),
                        b"alnum" => byte.is_ascii_alphanumeric(),
                        b"space" => byte.is_ascii_whitespace(),
                        b"upper" => byte.is_ascii_uppercase(),
                        b"lower" => byte.is_ascii_lowercase(),
                        b"xdigit" => byte.is_ascii_hexdigit(),
                        b"punct" => byte.is_ascii_punctuation(),
                        b"print" => (32..127).contains(&byte),
                        b"graph" => (33..127).contains(&byte),
                        b"cntrl" => byte.is_ascii_control(),
                        _ => false,
                    };
                }
                first = false;
                continue;
            }
            let byte = self.take()?;
            if byte == b']' && !first {
                break;
            }
            first = false;
            let low = match byte {
                b'\\' => match self.escape(true)? {
                    Some(Node::Set(members)) => {
                        let single = members.iter().filter(|m| **m).count() == 1;
                        let fold_pair = self.caseless && members.iter().filter(|m| **m).count() == 2;
                        for at in 0..256 {
                            set[at] |= members[at];
                        }
                        if !single && !fold_pair {
                            continue;
                        }
                        members.iter().rposition(|m| *m)? as u8
                    }
                    _ => continue,
                },
                other => other,
            };
            set[usize::from(low)] = true;
            if self.peek() == Some(b'-') && self.text.get(self.at + 1).is_some_and(|b| *b != b']') {
                self.at += 1;
                let high = match self.take()? {
                    b'\\' => match self.escape(true)? {
                        Some(Node::Set(members)) => members.iter().rposition(|m| *m)? as u8,
                        _ => low,
                    },
                    other => other,
                };
                for byte in low..=high {
                    set[usize::from(byte)] = true;
                }
            }
        }
        let mut set = self.folded(set);
        if negated {
            set.iter_mut().for_each(|member| *member = !*member);
        }
        Some(Node::Set(set))
    }

    fn group(&mut self) -> Option<Option<Node>> {
        let flags = (self.caseless, self.dotall, self.extended);
        if self.eat("?#") {
            while self.take()? != b')' {}
            return Some(None);
        }
        let mut look = false;
        let mut number = None;
        if self.eat("?P=") {
            let from = self.at;
            while self.take()? != b')' {}
            let name = &self.text[from..self.at - 1];
            let (_, number) = self.names.iter().find(|(known, _)| known == name)?;
            return Some(Some(Node::Back(*number)));
        }
        if self.eat("?:") || self.eat("?>") || self.eat("?|") {
        } else if self.eat("?=") || self.eat("?!") || self.eat("?<=") || self.eat("?<!") {
            look = true;
        } else if self.eat("?P<") || self.eat("?<") || self.eat("?'") {
            let from = self.at;
            while !matches!(self.take()?, b'>' | b'\'') {}
            self.groups += 1;
            self.names.push((self.text[from..self.at - 1].to_vec(), self.groups));
            number = Some(self.groups);
        } else if self.eat("?") {
            // Flags, of the rest of the group around or of a group of their own.
            let mut on = true;
            loop {
                match self.take()? {
                    b'-' => on = false,
                    b'i' => self.caseless = on,
                    b's' => self.dotall = on,
                    b'x' => self.extended = on,
                    b':' => break,
                    b')' => return Some(None),
                    b'm' | b'U' | b'J' => {}
                    _ => return None,
                }
            }
        } else if self.eat("*") {
            return None;
        } else {
            self.groups += 1;
            number = Some(self.groups);
        }
        let inner = self.alternatives()?;
        (self.caseless, self.dotall, self.extended) = flags;
        if !self.eat(")") {
            return None;
        }
        Some(Some(match (look, number) {
            (true, _) => Node::Ahead,
            (false, Some(number)) => Node::Group(number, Box::new(inner)),
            (false, None) => inner,
        }))
    }

    fn atom(&mut self) -> Option<Option<Node>> {
        let byte = self.take()?;
        Some(Some(match byte {
            b'^' => Node::Start,
            b'$' => Node::End,
            b'.' => {
                let all = self.dotall;
                Node::Set(set_of(|b| all || b != b'\n'))
            }
            b'\\' => return self.escape(false),
            b'[' => self.bracket()?,
            b'(' => return self.group(),
            b'#' if self.extended => {
                while self.peek().is_some_and(|b| b != b'\n') {
                    self.at += 1;
                }
                return Some(None);
            }
            other => Node::Set(self.folded(set_of(|b| b == other))),
        }))
    }
}

impl Expression {
    /// Reads an expression; none for syntax that is not known here.
    pub fn read(pcre: &Pcre) -> Option<Expression> {
        let mut reader = Reader {
            text: pcre.pattern.as_bytes(),
            at: 0,
            groups: 0,
            names: Vec::new(),
            depth: 0,
            caseless: pcre.caseless,
            dotall: pcre.dotall,
            extended: pcre.extended,
        };
        let root = reader.alternatives()?;
        (reader.at == reader.text.len()).then_some(Expression { root, groups: reader.groups })
    }

    /// Matches only at the start.
    pub fn begins(&self) -> bool {
        begins(&self.root)
    }

    /// Matches only at the end.
    pub fn ends(&self) -> bool {
        ends(&self.root)
    }
}
