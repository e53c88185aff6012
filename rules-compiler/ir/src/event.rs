//! Events that rules can ask for.

use std::sync::Arc;
use weir_contract::protocol::AppProtocol;

/// A decoder, stream or application-layer event, by its Suricata name without prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// `decode-event:ipv4.pkt_too_small` …; the name as written behind the colon.
    Decoder(Arc<str>),
    /// `stream-event:3whs_ack_in_wrong_dir` …
    Stream(Arc<str>),
    /// `app-layer-event:http.missing_host_header` …: protocol (none for `applayer_*`) and name.
    AppLayer(Option<AppProtocol>, Arc<str>),
}
