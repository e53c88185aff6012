//! The boundary to PCRE2. The only module of this crate with unsafe code.
//!
//! Invariants: a [`Code`] owns one compiled expression, is just-in-time compiled at most once, and before its first
//! execution; after that it is only read. A [`Matcher`] owns the mutable state of executions and belongs to one
//! worker.
#![allow(unsafe_code)]

use super::{Outcome, Outlook, PcreLimits};
use pcre2_sys as sys;
use std::ptr;
use std::sync::OnceLock;

/// Compile options.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// `i`
    pub caseless: bool,
    /// `m`
    pub multiline: bool,
    /// `s`
    pub dotall: bool,
    /// `x`
    pub extended: bool,
    /// `A`
    pub anchored: bool,
    /// `E`
    pub dollar_endonly: bool,
    /// `G`
    pub ungreedy: bool,
}

/// One compiled expression.
pub struct Code {
    code: ptr::NonNull<sys::pcre2_code_8>,
    jit: OnceLock<bool>,
    anchored: bool,
}

// SAFETY: a compiled expression is plain memory of the library's allocator without ties to a thread.
unsafe impl Send for Code {}
// SAFETY: the library documents compiled expressions as read-only during matching and shareable between threads. The
// one mutation, just-in-time compilation, runs inside `OnceLock::get_or_init`, which every execution passes first:
// it happens once and happens before any read through `pcre2_match`.
unsafe impl Sync for Code {}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code").finish_non_exhaustive()
    }
}

impl Code {
    /// Compile `pattern`; the error is the library's message and the position.
    pub fn compile(pattern: &str, options: Options) -> Result<Code, String> {
        let mut bits = sys::PCRE2_NEVER_UTF | sys::PCRE2_NEVER_UCP | sys::PCRE2_NEVER_BACKSLASH_C;
        for (set, bit) in [
            (options.caseless, sys::PCRE2_CASELESS),
            (options.multiline, sys::PCRE2_MULTILINE),
            (options.dotall, sys::PCRE2_DOTALL),
            (options.extended, sys::PCRE2_EXTENDED),
            (options.anchored, sys::PCRE2_ANCHORED),
            (options.dollar_endonly, sys::PCRE2_DOLLAR_ENDONLY),
            (options.ungreedy, sys::PCRE2_UNGREEDY),
        ] {
            if set {
                bits |= bit;
            }
        }
        let mut error = 0;
        let mut position = 0usize;
        // SAFETY: pattern pointer and length describe a live slice that the library only reads during the call; the
        // two out-pointers are live locals; a null context asks for defaults.
        let code = unsafe {
            sys::pcre2_compile_8(pattern.as_ptr(), pattern.len(), bits, &mut error, &mut position, ptr::null_mut())
        };
        let Some(code) = ptr::NonNull::new(code) else {
            return Err(format!("{} at offset {position} of the expression", message(error)));
        };
        let mut bits = 0u32;
        // SAFETY: the code is live; the library writes the 32 bits that this question is answered with.
        let answer = unsafe {
            sys::pcre2_pattern_info_8(code.as_ptr(), sys::PCRE2_INFO_ALLOPTIONS, ptr::from_mut(&mut bits).cast())
        };
        Ok(Code { code, jit: OnceLock::new(), anchored: answer == 0 && bits & sys::PCRE2_ANCHORED != 0 })
    }

    /// A match can begin at the subject's start only.
    pub fn is_anchored(&self) -> bool {
        self.anchored
    }

    fn ready(&self) -> *const sys::pcre2_code_8 {
        self.jit.get_or_init(|| {
            // SAFETY: the code is live until drop; see `Sync` above for why nobody reads it at this moment. A failure
            // leaves the expression usable by the interpreter.
            unsafe { sys::pcre2_jit_compile_8(self.code.as_ptr(), sys::PCRE2_JIT_COMPLETE) == 0 }
        });
        self.code.as_ptr()
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: allocated by `pcre2_compile_8`, freed once, no execution can borrow it any more.
        unsafe { sys::pcre2_code_free_8(self.code.as_ptr()) }
    }
}

fn message(error: i32) -> String {
    let mut buffer = [0u8; 256];
    // SAFETY: the buffer is live and its true length is given; the library writes at most that and a final zero.
    let length = unsafe { sys::pcre2_get_error_message_8(error, buffer.as_mut_ptr(), buffer.len()) };
    let length = usize::try_from(length).unwrap_or(0).min(buffer.len());
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// Match data, limits and stack of one worker.
pub struct Matcher {
    data: ptr::NonNull<sys::pcre2_match_data_8>,
    limited: ptr::NonNull<sys::pcre2_match_context_8>,
    generous: ptr::NonNull<sys::pcre2_match_context_8>,
    stack: *mut sys::pcre2_jit_stack_8,
}

// SAFETY: the four objects are plain memory owned by this value alone; they move with it and are used by one thread
// at a time, because every use needs `&mut self`.
unsafe impl Send for Matcher {}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher").finish_non_exhaustive()
    }
}

/// Group pairs kept by an execution: the whole match and the groups that rules can name.
const PAIRS: u32 = 10;
/// Groups are below this.
pub const GROUPS: usize = PAIRS as usize;
/// Limit for rules that lift the configured one (`O`): still bounded.
const GENEROUS: u32 = 1_000_000;

impl Matcher {
    /// State with the given limits; none when memory is exhausted.
    pub fn new(limits: PcreLimits) -> Option<Matcher> {
        // SAFETY: constructors with null contexts take defaults; each result is checked, and what was made before a
        // failure is freed by `Drop` or leaked at most once at start.
        unsafe {
            let data = ptr::NonNull::new(sys::pcre2_match_data_create_8(PAIRS, ptr::null_mut()))?;
            let limited = ptr::NonNull::new(sys::pcre2_match_context_create_8(ptr::null_mut()))?;
            let generous = ptr::NonNull::new(sys::pcre2_match_context_create_8(ptr::null_mut()))?;
            sys::pcre2_set_match_limit_8(limited.as_ptr(), limits.matches);
            sys::pcre2_set_depth_limit_8(limited.as_ptr(), limits.depth);
            sys::pcre2_set_match_limit_8(generous.as_ptr(), GENEROUS.max(limits.matches));
            sys::pcre2_set_depth_limit_8(generous.as_ptr(), GENEROUS.max(limits.depth));
            // A stack of its own, because the 32 KiB of the default are too small for long bodies.
            let stack = sys::pcre2_jit_stack_create_8(32 * 1024, 1024 * 1024, ptr::null_mut());
            if !stack.is_null() {
                sys::pcre2_jit_stack_assign_8(limited.as_ptr(), None, stack.cast());
                sys::pcre2_jit_stack_assign_8(generous.as_ptr(), None, stack.cast());
            }
            Some(Matcher { data, limited, generous, stack })
        }
    }

    fn execute(&mut self, code: &Code, subject: &[u8], start: usize, generous: bool, middle: bool) -> i32 {
        let context = if generous { self.generous } else { self.limited };
        let options = if middle { sys::PCRE2_NOTBOL } else { 0 };
        self.execute_in(code, subject, start, context, options)
    }

    fn execute_in(
        &mut self,
        code: &Code,
        subject: &[u8],
        start: usize,
        context: ptr::NonNull<sys::pcre2_match_context_8>,
        options: u32,
    ) -> i32 {
        // The library rejects a start behind the end.
        if start > subject.len() {
            return sys::PCRE2_ERROR_NOMATCH;
        }
        // SAFETY: code, data and context are live and owned; subject is a live slice of the given length that the
        // library reads during the call only (no option asks it to keep or copy it); `&mut self` makes match data and
        // stack exclusive.
        unsafe {
            sys::pcre2_match_8(
                code.ready(),
                subject.as_ptr(),
                subject.len(),
                start,
                options,
                self.data.as_ptr(),
                context.as_ptr(),
            )
        }
    }

    fn pair(&self, group: usize) -> Option<(usize, usize)> {
        if group >= PAIRS as usize {
            return None;
        }
        // SAFETY: match data was made for PAIRS pairs, so its vector holds 2 * PAIRS initialised values after a match.
        let (low, high) = unsafe {
            let vector = sys::pcre2_get_ovector_pointer_8(self.data.as_ptr());
            (*vector.add(2 * group), *vector.add(2 * group + 1))
        };
        (low != usize::MAX).then_some((low, high))
    }

    /// First match at or behind `start`. `middle`: the subject does not begin where its buffer begins (`^` cannot
    /// match there).
    pub fn find(&mut self, code: &Code, subject: &[u8], start: usize, generous: bool, middle: bool) -> Outcome {
        match self.execute(code, subject, start, generous, middle) {
            // 0 means that there were more groups than pairs; the first pairs are valid.
            n if n >= 0 => match self.pair(0) {
                // `\K` in a look-ahead can put the start behind the end.
                Some((low, high)) => Outcome::Match(low.min(high), high.min(subject.len())),
                None => Outcome::NoMatch,
            },
            sys::PCRE2_ERROR_NOMATCH => Outcome::NoMatch,
            _ => Outcome::Limit,
        }
    }

    /// Whether a match that begins in `subject` could end in it or in bytes behind it: whoever reaches the subject's end on the
    /// way counts (pcre2partial, PCRE2_PARTIAL_HARD).
    pub fn outlook(&mut self, code: &Code, subject: &[u8]) -> Outlook {
        // PCRE2 tells of no partial match that is empty.
        if subject.is_empty() {
            return Outlook::Open;
        }
        match self.execute_in(code, subject, 0, self.limited, sys::PCRE2_PARTIAL_HARD) {
            sys::PCRE2_ERROR_NOMATCH => Outlook::Never,
            _ => Outlook::Open,
        }
    }

    /// Range of a group of the match that [`Matcher::find`] found last.
    pub fn last_group(&self, group: usize, length: usize) -> Option<(usize, usize)> {
        self.pair(group).filter(|&(low, high)| low <= high && high <= length)
    }

    /// Range of a group of the first match.
    pub fn group(&mut self, code: &Code, subject: &[u8], group: usize) -> Option<(usize, usize)> {
        let n = self.execute(code, subject, 0, false, false);
        if n < 0 || (n > 0 && n as usize <= group) {
            return None;
        }
        self.pair(group).filter(|&(low, high)| low <= high && high <= subject.len())
    }
}

impl Drop for Matcher {
    fn drop(&mut self) {
        // SAFETY: each object was made by the matching constructor and is freed once; a null stack is allowed.
        unsafe {
            sys::pcre2_match_data_free_8(self.data.as_ptr());
            sys::pcre2_match_context_free_8(self.limited.as_ptr());
            sys::pcre2_match_context_free_8(self.generous.as_ptr());
            sys::pcre2_jit_stack_free_8(self.stack);
        }
    }
}
