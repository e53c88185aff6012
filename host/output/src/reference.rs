//! What stands before the text of a rule's reference (`reference.config`).

use std::collections::HashMap;

/// Prefixes by reference system, keys in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferencePrefixes(HashMap<String, String>);

impl Default for ReferencePrefixes {
    /// The systems that public rule sets use.
    fn default() -> Self {
        let known = [
            ("bugtraq", "http://www.securityfocus.com/bid/"),
            ("bid", "http://www.securityfocus.com/bid/"),
            ("cve", "http://cve.mitre.org/cgi-bin/cvename.cgi?name="),
            ("secunia", "http://www.secunia.com/advisories/"),
            ("arachnids", "http://www.whitehats.com/info/IDS"),
            ("mcafee", "http://vil.nai.com/vil/content/v_"),
            ("nessus", "http://cgi.nessus.org/plugins/dump.php3?id="),
            ("url", "http://"),
            ("et", "http://doc.emergingthreats.net/"),
            ("etpro", "http://doc.emergingthreatspro.com/"),
            ("telus", "http://"),
            ("osvdb", "http://osvdb.org/show/osvdb/"),
            ("threatexpert", "http://www.threatexpert.com/report.aspx?md5="),
            ("md5", "http://www.threatexpert.com/report.aspx?md5="),
            ("exploitdb", "http://www.exploit-db.com/exploits/"),
            ("openpacket", "https://www.openpacket.org/capture/grab/"),
            ("securitytracker", "http://securitytracker.com/id?"),
            ("secunia", "http://secunia.com/advisories/"),
            ("xforce", "http://xforce.iss.net/xforce/xfdb/"),
            ("msft", "http://technet.microsoft.com/security/bulletin/"),
        ];
        ReferencePrefixes(known.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect())
    }
}

impl ReferencePrefixes {
    /// Adds or replaces a system.
    pub fn insert(&mut self, system: &str, prefix: &str) {
        self.0.insert(system.to_ascii_lowercase(), prefix.to_owned());
    }

    /// The reference as one string; an unknown system is written as `system,text`.
    pub fn render(&self, system: &str, text: &str) -> String {
        match self.0.get(&system.to_ascii_lowercase()) {
            Some(_) if text.starts_with("http://") || text.starts_with("https://") => text.to_owned(),
            Some(prefix) => format!("{prefix}{text}"),
            None => format!("{system},{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_and_defaults() {
        let mut prefixes = ReferencePrefixes::default();
        prefixes.insert("Mine", "https://example.org/");
        assert_eq!(prefixes.render("mine", "7"), "https://example.org/7");
        assert_eq!(prefixes.render("URL", "example.org/a"), "http://example.org/a");
        assert_eq!(prefixes.render("other", "x"), "other,x");
    }
}
