//! Policies of firewall mode, from their text.

use weir_contract::protocol::AppProtocol;
use weir_detect::{FirewallPolicy, Policies};
use weir_ir::{Action, ActionScope, TransactionHook};

/// Reads `hook=action[,alert]`, one for each hook: `packet.filter`, `packet.default-policy`, `app.dns.request-started`,
/// `app.dns.default-policy`, `app.default-policy`, `default-policy`. The more specific one counts, in whatever order.
pub fn policies(lines: &[String]) -> Result<Policies, String> {
    let mut all = Policies::default();
    let mut read = Vec::new();
    for line in lines {
        let (name, text) = line.split_once('=').ok_or_else(|| format!("firewall policy `{line}`: write hook=action"))?;
        let parts: Vec<&str> = name.trim().split('.').collect();
        read.push((parts, name, policy(text).map_err(|e| format!("firewall policy `{line}`: {e}"))?));
    }
    read.sort_by_key(|(parts, ..)| (parts.len(), parts.last() != Some(&"default-policy")));
    for (parts, name, policy) in read {
        let packet = |policy: FirewallPolicy| match (policy.action, policy.scope) {
            (Action::Accept, ActionScope::Transaction) => Err(format!("{name}: `accept:tx` needs a hook of transactions")),
            _ => Ok(policy),
        };
        match parts.as_slice() {
            ["default-policy"] => {
                all.packet = [packet(policy)?; 3];
                all.application = policy;
            }
            ["packet", "default-policy"] => all.packet = [packet(policy)?; 3],
            ["packet", "pre-flow"] => all.packet[0] = packet(policy)?,
            ["packet", "pre-stream"] => all.packet[1] = packet(policy)?,
            ["packet", "filter"] => all.packet[2] = packet(policy)?,
            ["app", "default-policy"] => all.application = policy,
            ["app", protocol, hook] => {
                let known = weir_rules::application_protocol(protocol)
                    .ok_or_else(|| format!("firewall policy {name}: there is no protocol `{protocol}`"))?;
                let protocols: &[AppProtocol] = match known {
                    AppProtocol::Http => &[AppProtocol::Http1, AppProtocol::Http2],
                    _ => std::slice::from_ref(&known),
                };
                for &protocol in protocols {
                    if *hook == "default-policy" {
                        all.protocols.insert(protocol, policy);
                        continue;
                    }
                    let found = TransactionHook::find(protocol, &hook.replace('-', "_"))
                        .ok_or_else(|| format!("firewall policy {name}: {} has no hook `{hook}`", protocol.name()))?;
                    all.hooks.insert((protocol, found.to_server, found.state), policy);
                }
            }
            _ => return Err(format!("firewall policy {name}: there is no such hook")),
        }
    }
    Ok(all)
}

/// `accept:hook,alert`
fn policy(text: &str) -> Result<FirewallPolicy, String> {
    let mut found = None;
    let mut alert = false;
    for part in text.split(',').map(|p| p.trim().trim_matches(['"', '[', ']', ' '])).filter(|p| !p.is_empty()) {
        match part {
            "accept:hook" => found = Some((Action::Accept, ActionScope::Hook)),
            "accept:packet" => found = Some((Action::Accept, ActionScope::Packet)),
            "accept:flow" => found = Some((Action::Accept, ActionScope::Flow)),
            "accept:tx" => found = Some((Action::Accept, ActionScope::Transaction)),
            "drop:packet" => found = Some((Action::Drop, ActionScope::Packet)),
            "drop:flow" => found = Some((Action::Drop, ActionScope::Flow)),
            "reject:packet" => found = Some((Action::RejectBoth, ActionScope::Packet)),
            "reject:flow" => found = Some((Action::RejectBoth, ActionScope::Flow)),
            "alert" => alert = true,
            other => return Err(format!("`{other}` is no action; write accept:hook, accept:flow, drop:packet, drop:flow ...")),
        }
    }
    let (action, scope) = found.ok_or("the action is missing")?;
    Ok(FirewallPolicy { action, scope, alert })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read() {
        let lines = |list: &[&str]| list.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        let all = policies(&lines(&[
            "app.http1.request-line=accept:tx,alert",
            "packet.filter=accept:hook",
            "app.default-policy=accept:hook",
        ]))
        .expect("they are right");
        let line = all.of_state(AppProtocol::Http1, true, 1);
        assert_eq!((line.action, line.scope, line.alert), (Action::Accept, ActionScope::Transaction, true));
        assert_eq!(all.of_state(AppProtocol::Dns, true, 1).scope, ActionScope::Hook);
        assert_eq!(all.packet[2].action, Action::Accept);
        for wrong in ["app.http1.request-line=accept:foo", "packet.filter=accept:tx", "app.dns.nowhere=drop:flow", "x"] {
            assert!(policies(&lines(&[wrong])).is_err(), "{wrong}");
        }
    }
}
