//! An aspect of a rule: one thing that must be true of the traffic if the rule matches, and how the tables may see it.

use crate::expression;
use crate::need::Need;
use crate::place::{Cell, Strip, moved};
use crate::prove::{Known, Tables, Unit, Window};

/// One way to see an aspect: all windows lead to records, and all guards do.
#[derive(Debug, Clone, Default)]
pub struct Witness {
    /// Of these, one is on the wire, or a guard fires.
    pub windows: Vec<Window>,
    /// Guards that fire where none is.
    pub guards: u64,
    /// Escapes that the guards must know.
    pub escapes: [u64; 4],
    /// The guards are raised by the matching packet itself: its first bytes are certain.
    pub anchored: bool,
}

/// What must be caught besides, whatever the witness is.
#[derive(Debug, Clone)]
pub enum Also {
    /// Every frame of the need.
    Frames(Need),
    /// Frames with this word, in any case.
    Word(&'static [u8], Need),
}

/// One aspect.
#[derive(Debug, Clone, Default)]
pub struct Aspect {
    /// For messages: what it is about.
    pub what: String,
    /// Cases, each of which must be caught.
    pub needs: Vec<(Need, Unit)>,
    /// Bits of the first bytes, certain in packets.
    pub packet: Known,
    /// The same of streams.
    pub stream: Known,
    /// Bytes that can stand at a place of the payload, as expressions say.
    pub first: Vec<(usize, Vec<u8>)>,
    /// Alternatives.
    pub witnesses: Vec<Witness>,
    /// Besides.
    pub also: Vec<Also>,
}

/// How an aspect was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// Records for every frame.
    Frames,
    /// Windows and guards.
    Windows,
}

impl Aspect {
    /// Every case is caught; `Err`: the first that is not.
    pub fn prove(&self, tables: &Tables<'_>) -> Result<By, Need> {
        let mut by = By::Frames;
        let mut also = None;
        for (need, unit) in &self.needs {
            let need = &tables.behind_hello(need);
            let known = self.known(*unit);
            if self.at_start(*unit, &known, |known| tables.frames(need, *unit, known)) {
                continue;
            }
            by = By::Windows;
            let besides = *also.get_or_insert_with(|| self.also.iter().all(|also| also.caught(tables)));
            if !besides || !self.witnesses.iter().any(|w| self.witness(w, need, *unit, tables)) {
                return Err(*need);
            }
        }
        Ok(by)
    }

    fn known(&self, unit: Unit) -> Known {
        match unit {
            Unit::Packet => self.packet,
            Unit::Stream => self.stream,
            Unit::Message => Known::default(),
        }
    }

    /// The same for each byte that can stand where an expression says so.
    fn at_start(&self, unit: Unit, known: &Known, caught: impl Fn(&Known) -> bool) -> bool {
        let each = |(at, bytes): &(usize, Vec<u8>)| {
            known.is_open(*at)
                && bytes.iter().all(|byte| {
                    let mut known = *known;
                    known.fix(*at as i64, *byte, 0xff);
                    caught(&known)
                })
        };
        caught(known) || unit == Unit::Packet && self.first.iter().any(each)
    }

    fn witness(&self, w: &Witness, need: &Need, unit: Unit, tables: &Tables<'_>) -> bool {
        let parameters = &tables.bits.parameters;
        let escapes = w.escapes.iter().zip(&parameters.uri_percent_set).all(|(want, have)| want & !have == 0);
        if w.windows.is_empty() && w.guards == 0 || !escapes {
            return false;
        }
        let windows = w.windows.iter().all(|window| {
            let known = match (unit, window.at) {
                // In a stream the bytes before the window's end have come when it has.
                (Unit::Stream, Some((low, _))) => self.stream.before(low.saturating_add(window.bytes().len() as i64)),
                (Unit::Stream, None) => Known::default(),
                _ => self.known(unit),
            };
            tables.window(window, need, unit, &known)
        });
        windows
            && (0..64).filter(|g| w.guards >> g & 1 != 0).all(|g| {
                if w.anchored && unit == Unit::Packet {
                    self.at_start(unit, &self.packet, |known| tables.guard(g, need, unit, known))
                } else {
                    tables.guard(g, need, unit, &Known::default())
                }
            })
    }
}

impl Also {
    /// It is caught.
    pub fn caught(&self, tables: &Tables<'_>) -> bool {
        let none = Known::default();
        match self {
            Also::Frames(need) => need.classes == 0 || tables.frames(need, Unit::Message, &none),
            Also::Word(word, need) => {
                let mut parts = (4..=8).rev().flat_map(|n| word.windows(n)).filter_map(Window::folded);
                need.classes == 0 || parts.any(|part| tables.window(&part, need, Unit::Message, &none))
            }
        }
    }
}

/// All windows of a run of bytes.
pub fn windows(strip: &Strip, placed: bool) -> impl Iterator<Item = Window> + '_ {
    (4..=8).rev().flat_map(move |length| {
        strip
            .cells
            .windows(length)
            .enumerate()
            .filter_map(move |(from, cells)| Window::new(cells, placed.then(|| moved(strip.at, from as i64))))
    })
}

/// Windows of the byte strings that an expression can match.
pub fn families(run: &weir_ir::BufferMatch, certain: impl Fn(&[u8]) -> bool + Copy) -> Vec<Vec<Window>> {
    let mut out = Vec::new();
    for r in expression::runs(run) {
        for forms in expression::windows(&r, 4096, certain) {
            out.push(forms.iter().filter_map(|cells| Window::new(cells, None)).collect());
        }
    }
    out
}

/// Three bytes and every byte that can stand before them (behind them, if `behind`).
pub fn neighbours(three: &[Cell], behind: bool, at: Option<(i64, i64)>) -> Vec<Window> {
    (0..=255u8)
        .filter(|b| !b.is_ascii_uppercase())
        .filter_map(|byte| {
            let mut cells = three.to_vec();
            cells.insert(if behind { three.len() } else { 0 }, Cell { byte, exact: false });
            Window::new(&cells, at)
        })
        .collect()
}

/// A set of bytes.
pub fn escape_set(bytes: impl IntoIterator<Item = u8>) -> [u64; 4] {
    let mut set = [0u64; 4];
    for byte in bytes {
        if let Some(word) = set.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }
    set
}
