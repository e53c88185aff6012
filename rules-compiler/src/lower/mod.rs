//! Syntax tree to normalised rule: meaning, defaults and Suricata's load-time checks.
//!
//! One [`Lowering`] lives for one rule and fills a draft option by option, in rule order; [`finish`] checks what can only
//! be checked at the end. The [`Session`] lives for a whole load and remembers strings and address sets. The first fault
//! rejects the rule; warnings do not. Lowering knows the rule language and asks [`Support`] what the engine can do; it
//! knows nothing of devices.

mod application;
mod buffer;
mod bytes;
mod compound;
mod industrial;
mod content;
mod dataset;
mod event;
mod event_names;
mod finish;
mod flow;
mod header;
mod meta;
mod number;
mod packet;
mod pcre;
mod reputation;
mod shape;
mod state;
#[cfg(test)]
mod tests;
mod transform;

pub use header::application_protocol;
pub use event::{known_events, protocol_of_event};
pub(crate) use header::PROTOCOLS;
pub(crate) use state::track;

use crate::config::{Classifications, References};
use crate::diag::Cause;
use crate::keywords::{Handler, Keyword};
use crate::load::{LoadOptions, ReadError, read_limited};
use crate::support::Support;
use crate::syntax::{OptionSyntax, RuleSyntax, Span};
use crate::vars::Resolver;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::{
    Action, AddressSet, Buffer, BufferMatch, FlowCondition, Header, Identity, Match, Meta, PortSet, Rule, RuleProtocol,
    Source, Transform, VariableId,
};

/// Which rule language a rule is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Decided for each rule: comma-separated content modifiers, `service`, a service header, or a buffer word before
    /// any content make it Snort 3.
    #[default]
    Auto,
    /// Suricata, and Snort 2.
    Suricata,
    /// Snort 3: `http_uri` sets the buffer for what follows.
    Snort3,
}

/// One thing to say about one span of the rule's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub span: Span,
    pub cause: Cause,
    pub message: String,
    pub remedy: Option<String>,
    /// The words by which Suricata's users know the fault.
    pub known_as: Option<String>,
}

impl Fault {
    pub(crate) fn new(span: Span, cause: Cause, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy: String = remedy.into();
        Fault { span, cause, message: message.into(), remedy: (!remedy.is_empty()).then_some(remedy), known_as: None }
    }

    /// With the words by which Suricata's users know it.
    pub(crate) fn known_as(mut self, words: impl Into<String>) -> Self {
        self.known_as = Some(words.into());
        self
    }
}

type Lowered<T = ()> = Result<T, Fault>;

/// Most matches of one rule; Suricata's rules have far fewer.
const MATCHES_MAX: usize = 1024;

/// What a whole load shares.
pub(crate) struct Session<'a> {
    pub resolver: Resolver<'a>,
    pub support: &'a Support,
    pub classifications: &'a Classifications,
    pub references: &'a References,
    pub options: &'a LoadOptions<'a>,
    /// Rules are those of the firewall's tables.
    pub firewall: bool,
    strings: HashSet<Arc<str>>,
    datasets: HashMap<String, Arc<[Box<[u8]>]>>,
}

impl<'a> Session<'a> {
    pub fn new(
        resolver: Resolver<'a>,
        support: &'a Support,
        classifications: &'a Classifications,
        references: &'a References,
        options: &'a LoadOptions<'a>,
    ) -> Self {
        Session {
            resolver,
            support,
            classifications,
            references,
            options,
            firewall: false,
            strings: HashSet::new(),
            datasets: HashMap::new(),
        }
    }

    /// A file that a rule names.
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
        self.options.files.map_or_else(|| read_limited(path, limit), |files| files.read(path, limit))
    }

    /// There is such a file.
    fn holds(&self, path: &Path) -> bool {
        self.options.files.map_or_else(|| path.is_file(), |files| files.holds(path))
    }

    /// One allocation for equal strings.
    fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.strings.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.strings.insert(Arc::clone(&new));
        new
    }
}

/// The sticky buffer in force.
#[derive(Debug, Clone)]
struct Sticky {
    buffer: Buffer,
    transforms: Vec<Transform>,
    span: Span,
    /// The side that a transactional rule names.
    side: Option<weir_ir::BufferDirection>,
    /// Entry of the draft's buffers, once a match was added.
    entry: Option<usize>,
}

/// Where a match stands: buffer entry, match.
type Place = (usize, usize);

/// The rule as far as it is known.
struct Draft {
    rule: Rule,
    sticky: Option<Sticky>,
    last_content: Option<Place>,
    /// Places and spans of contents, for checks at the end.
    spans: Vec<(Place, Span)>,
    variables: Vec<Arc<str>>,
    protocol: Option<(AppProtocol, Span)>,
    /// First buffer that exists to the server (client) only.
    only_to_server: Option<(Span, &'static str)>,
    only_to_client: Option<(Span, &'static str)>,
    /// First keyword that needs a packet.
    needs_packet: Option<(Span, &'static str)>,
    /// First keyword that needs a transaction.
    needs_transaction: Option<(Span, &'static str)>,
    fast_pattern: bool,
    /// The match added last is a content.
    content_is_last: bool,
    alert: bool,
    has_sid: bool,
    has_priority: bool,
    flow_span: Option<Span>,
    snort3: bool,
    matches: usize,
}

/// Lowers one rule.
pub(crate) struct Lowering<'s, 'a> {
    session: &'s mut Session<'a>,
    text: &'s [u8],
    draft: Draft,
    warnings: Vec<Fault>,
}

/// What became of one rule.
pub(crate) struct Outcome {
    pub rule: Result<Rule, Fault>,
    pub sid: Option<u32>,
    pub warnings: Vec<Fault>,
}

/// Lower one parsed rule.
pub(crate) fn lower(
    session: &mut Session<'_>,
    syntax: &RuleSyntax,
    text: &[u8],
    file: &Arc<str>,
    line: u32,
) -> Outcome {
    let draft = Draft {
        rule: Rule {
            identity: Identity { gid: 1, sid: 0, rev: 0 },
            source: Source { file: Arc::clone(file), line, text: Arc::from("") },
            action: Action::Alert,
            scope: weir_ir::ActionScope::Implied,
            also_pass: None,
            firewall: false,
            hook: None,
            transactional: false,
            header: Header {
                protocol: RuleProtocol::Ip,
                source: AddressSet::default(),
                source_ports: PortSet::default(),
                destination: AddressSet::default(),
                destination_ports: PortSet::default(),
                bidirectional: false,
                negated: false,
            },
            meta: Meta { priority: 3, ..Meta::default() },
            flow: None,
            packet: Vec::new(),
            app_layer: Vec::new(),
            events: Vec::new(),
            buffers: Vec::new(),
            flowbits: Vec::new(),
            flowints: Vec::new(),
            xbits: Vec::new(),
            threshold: None,
            tag: None,
            unlogged: None,
            bypass: false,
            noalert: false,
        },
        sticky: None,
        last_content: None,
        spans: Vec::new(),
        variables: Vec::new(),
        protocol: None,
        only_to_server: None,
        only_to_client: None,
        needs_packet: None,
        needs_transaction: None,
        fast_pattern: false,
        content_is_last: false,
        has_sid: false,
        alert: false,
        has_priority: false,
        flow_span: None,
        snort3: false,
        matches: 0,
    };
    let mut lowering = Lowering { session, text, draft, warnings: Vec::new() };
    let sid = lowering.peek_sid(syntax);
    let result = lowering.run(syntax);
    let Lowering { draft, warnings, .. } = lowering;
    let rule = result.map(|()| {
        let mut rule = draft.rule;
        // What passes is not told, unless the rule asks for it.
        let quiet = matches!(rule.action, weir_ir::Action::Pass | weir_ir::Action::Config) || rule.firewall;
        rule.noalert |= quiet && !draft.alert;
        rule.source.text = String::from_utf8_lossy(text).into();
        rule
    });
    Outcome { rule, sid, warnings }
}

impl<'s> Lowering<'s, '_> {
    fn run(&mut self, syntax: &RuleSyntax) -> Lowered {
        let keywords = self.resolve_keywords(syntax)?;
        self.draft.snort3 = match self.session.options.dialect {
            Dialect::Suricata => false,
            Dialect::Snort3 => true,
            Dialect::Auto => looks_like_snort3(syntax, &keywords),
        };
        self.header(&syntax.header)?;
        for (option, keyword) in syntax.options.iter().zip(&keywords) {
            self.option(option, keyword)?;
            self.draft.content_is_last = match keyword.handler {
                Handler::Content | Handler::UriContent => true,
                Handler::Nocase
                | Handler::Rawbytes
                | Handler::Depth
                | Handler::Offset
                | Handler::Distance
                | Handler::Within
                | Handler::StartsWith
                | Handler::EndsWith
                | Handler::Modifier(_) => self.draft.content_is_last,
                _ => false,
            };
        }
        self.finish()
    }

    fn resolve_keywords(&mut self, syntax: &RuleSyntax) -> Lowered<Vec<&'static Keyword>> {
        let mut keywords = Vec::with_capacity(syntax.options.len());
        for option in &syntax.options {
            let word = option.name.of(self.text);
            match crate::keywords::find(word) {
                Some(keyword) => keywords.push(keyword),
                None => {
                    // `requires:` decides first: a rule for another version may well use keywords we do not know.
                    self.check_requirements(syntax)?;
                    let word = String::from_utf8_lossy(word);
                    let remedy = match crate::keywords::suggest(&word) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "see the list of keywords in the reference".into(),
                    };
                    return Err(Fault::new(
                        option.name,
                        Cause::UnknownKeyword,
                        format!("there is no keyword `{word}`"),
                        remedy,
                    )
                    .known_as(format!("unknown rule keyword '{word}'.")));
                }
            }
        }
        self.check_requirements(syntax)?;
        Ok(keywords)
    }

    fn option(&mut self, option: &OptionSyntax, keyword: &'static Keyword) -> Lowered {
        if keyword.arguments.is_empty() && option.value.is_some() && keyword.is_supported() && !self.draft.snort3 {
            let written = self.value(option)?;
            let side = matches!(keyword.handler, Handler::Sticky(_)) && matches!(written.trim(), "to_server" | "to_client");
            if !written.is_empty() && !side {
                return Err(Fault::new(
                    option.span(),
                    Cause::Value,
                    format!("`{}` takes no value", keyword.name),
                    format!("write `{};`", keyword.name),
                ));
            }
        }
        match keyword.handler {
            Handler::Message => self.message(option),
            Handler::Sid => self.sid(option),
            Handler::Rev => self.rev(option),
            Handler::Gid => self.gid(option),
            Handler::Classtype => self.classtype(option),
            Handler::Priority => self.priority(option),
            Handler::Reference => self.reference(option),
            Handler::Metadata => self.metadata(option),
            Handler::Target => self.target(option),
            Handler::Requires | Handler::Ignored => Ok(()),
            Handler::Content => self.content(option, None),
            Handler::UriContent => self.content(option, Some(Buffer::HttpUri)),
            Handler::Nocase => self.nocase(option),
            Handler::Rawbytes => self.rawbytes(option),
            Handler::Depth => self.position(option, content::Position::Depth),
            Handler::Offset => self.position(option, content::Position::Offset),
            Handler::Distance => self.position(option, content::Position::Distance),
            Handler::Within => self.position(option, content::Position::Within),
            Handler::StartsWith => self.starts_with(option),
            Handler::EndsWith => self.ends_with(option),
            Handler::FastPattern => self.fast_pattern(option),
            // Behind a content it asks for that content; behind anything else it has no meaning here.
            Handler::Prefilter => match self.draft.content_is_last {
                true => self.set_fast_pattern(option.span(), ""),
                false => Ok(()),
            },
            Handler::Pcre => self.pcre(option),
            Handler::ByteTest => self.byte_test(option),
            Handler::ByteJump => self.byte_jump(option),
            Handler::ByteExtract => self.byte_extract(option),
            Handler::ByteMath => self.byte_math(option),
            Handler::IsDataAt => self.is_data_at(option),
            Handler::BufferSize => self.buffer_size(option),
            Handler::BufferLength => self.buffer_length(option),
            Handler::Absent => self.absent(option),
            Handler::Base64Decode => self.base64_decode(option),
            Handler::Dataset => self.dataset(option, false),
            Handler::Datarep => self.dataset(option, true),
            Handler::FileDigest(buffer) => self.file_digest(option, buffer),
            Handler::Reputation => self.reputation(option),
            Handler::Geography => self.geography(option),
            Handler::TlsStore => self.tls_store(option),
            Handler::Entropy => self.entropy(option),
            Handler::Sticky(buffer) => self.sticky(option, buffer),
            Handler::Modifier(buffer) => self.modifier(option, keyword, buffer),
            Handler::Frame => self.frame(option),
            Handler::PacketData => self.packet_data(),
            Handler::Transform(kind) => self.transform(option, kind),
            Handler::Flow => self.flow(option),
            Handler::Flowbits => self.flowbits(option),
            Handler::Flowint => self.flowint(option),
            Handler::Xbits => self.xbits(option),
            Handler::Hostbits => self.hostbits(option),
            Handler::Threshold => self.threshold(option),
            Handler::DetectionFilter => self.detection_filter(option),
            Handler::Tag => self.tag(option),
            Handler::Config => self.config(option),
            Handler::Bypass => {
                self.draft.rule.bypass = true;
                Ok(())
            }
            Handler::Noalert => {
                self.draft.rule.noalert = true;
                Ok(())
            }
            Handler::Alert => {
                self.draft.alert = true;
                self.draft.rule.noalert = false;
                Ok(())
            }
            Handler::UriLength => self.uri_length(option),
            Handler::DecodeEvent | Handler::StreamEvent | Handler::AppLayerEvent => self.event(option, keyword),
            Handler::Unsupported(reason) => Err(unsupported(option, keyword, reason)),
            Handler::AppLayerProtocol
            | Handler::TlsVersion
            | Handler::SslVersion
            | Handler::SslState
            | Handler::TlsCertExpired
            | Handler::TlsCertValid
            | Handler::TlsNotBefore
            | Handler::TlsNotAfter
            | Handler::TlsCertChainLength
            | Handler::DnsOpcode
            | Handler::DnsRcode
            | Handler::DnsRrtype
            | Handler::FtpDataCommand
            | Handler::FileStore
            | Handler::FileSize
            | Handler::SmbVersion
            | Handler::DceInterface
            | Handler::DceOpnum
            | Handler::Named(_) => self.application(option, keyword),
            Handler::OldContent(buffer, form) => self.old_content(option, buffer, form),
            _ => self.packet_keyword(option, keyword),
        }
    }

    /// The value as text; invalid UTF-8 is replaced. Faults when there is none.
    fn value(&self, option: &OptionSyntax) -> Lowered<Cow<'s, str>> {
        match &option.value {
            Some(value) if !value.raw.is_empty() => {
                let span = value.quoted.filter(|_| !value.negated && value.modifiers.is_empty()).unwrap_or(value.raw);
                Ok(String::from_utf8_lossy(span.of(self.text)))
            }
            _ => {
                let word = String::from_utf8_lossy(option.name.of(self.text)).into_owned();
                let form = crate::keywords::find(option.name.of(self.text)).map_or("", |k| k.arguments);
                Err(Fault::new(
                    option.span(),
                    Cause::Value,
                    format!("`{word}` needs a value"),
                    format!("write `{word}:{form};`"),
                )
                .known_as(format!("invalid formatting or malformed option to {word} keyword: '(null)'")))
            }
        }
    }

    /// The value, or nothing.
    fn optional_value(&self, option: &OptionSyntax) -> Cow<'s, str> {
        self.value(option).unwrap_or(Cow::Borrowed(""))
    }

    /// A fault about the option's value, with the keyword's form as remedy.
    fn wrong(&self, option: &OptionSyntax, message: impl Into<String>) -> Fault {
        let span = option.value.as_ref().map_or(option.name, |v| v.raw);
        let keyword = crate::keywords::find(option.name.of(self.text));
        let remedy = keyword.map_or(String::new(), |k| format!("the form is `{}:{};`", k.name, k.arguments));
        let word = String::from_utf8_lossy(option.name.of(self.text)).into_owned();
        let value = String::from_utf8_lossy(span.of(self.text)).into_owned();
        Fault::new(span, Cause::Value, message, remedy)
            .known_as(format!("invalid formatting or malformed option to {word} keyword: '{value}'"))
    }

    fn warn(&mut self, span: Span, cause: Cause, message: impl Into<String>, remedy: impl Into<String>) {
        self.warnings.push(Fault::new(span, cause, message, remedy));
    }

    fn comparison(&self, option: &OptionSyntax, max: u64, names: &[(&str, u64)]) -> Lowered<weir_ir::Comparison> {
        let value = self.value(option)?;
        number::comparison(&value, max, names).map_err(|e| self.wrong(option, e))
    }

    fn variable(&self, name: &str) -> Option<VariableId> {
        self.draft.variables.iter().position(|v| **v == *name).and_then(|i| VariableId::try_from(i).ok())
    }

    /// Add a match to the buffer in force.
    fn push(&mut self, option: &OptionSyntax, item: Match) -> Lowered<Place> {
        self.draft.matches += 1;
        if self.draft.matches > MATCHES_MAX {
            return Err(Fault::new(
                option.span(),
                Cause::Value,
                format!("the rule has more than {MATCHES_MAX} matches"),
                "split the rule",
            ));
        }
        // What is relative belongs to the content it is relative to, where no sticky buffer says otherwise.
        let relative = match &item {
            Match::ByteTest(test) => test.relative,
            Match::ByteJump(jump) => jump.relative,
            Match::ByteExtract(extract) => extract.relative,
            Match::ByteMath(math) => math.relative,
            Match::IsDataAt(at) => at.relative,
            Match::Base64Decode(_) => true,
            _ => false,
        };
        let before = self.draft.last_content.filter(|_| relative && self.draft.sticky.is_none());
        let entry = match before {
            Some((entry, _)) => entry,
            None => self.entry(option)?,
        };
        let Some(target) = self.draft.rule.buffers.get_mut(entry) else {
            return Err(Fault::new(option.span(), Cause::Placement, "the buffer is gone", ""));
        };
        target.matches.push(item);
        Ok((entry, target.matches.len() - 1))
    }

    fn peek_sid(&self, syntax: &RuleSyntax) -> Option<u32> {
        let option = syntax.options.iter().find(|o| o.name.of(self.text).eq_ignore_ascii_case(b"sid"))?;
        self.value(option).ok()?.parse().ok()
    }
}

fn unsupported(option: &OptionSyntax, keyword: &Keyword, reason: &str) -> Fault {
    Fault::new(
        option.span(),
        Cause::UnsupportedKeyword,
        format!("`{}` is not supported: {reason}", keyword.name),
        "rewrite the rule without it, or disable the rule",
    )
}

fn looks_like_snort3(syntax: &RuleSyntax, keywords: &[&'static Keyword]) -> bool {
    if syntax.header.endpoints.is_none() {
        return true;
    }
    let mut content_seen = false;
    for (option, keyword) in syntax.options.iter().zip(keywords) {
        match keyword.handler {
            Handler::Content | Handler::UriContent => {
                if option.value.as_ref().is_some_and(|v| !v.modifiers.is_empty()) {
                    return true;
                }
                content_seen = true;
            }
            Handler::Modifier(_) if !content_seen => return true,
            Handler::Ignored if keyword.name == "service" => return true,
            _ => {}
        }
    }
    false
}

/// An empty entry.
fn new_buffer(buffer: Buffer, transforms: Vec<Transform>) -> BufferMatch {
    BufferMatch { buffer, transforms, matches: Vec::new(), side: None }
}

/// `flow` with nothing set.
const NO_FLOW: FlowCondition = FlowCondition {
    to_server: false,
    to_client: false,
    established: false,
    not_established: false,
    stateless: false,
    only_stream: false,
    no_stream: false,
    only_frag: false,
    no_frag: false,
};
