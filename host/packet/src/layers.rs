//! Which layers besides IP and transport a packet's headers had, for statistics.

use crate::Packet;

/// A set of layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layers(u32);

macro_rules! layers {
    ($($bit:literal $constant:ident $name:literal,)*) => {
        impl Layers {
            $(#[doc = concat!("`", $name, "`")] pub const $constant: Layers = Layers(1 << $bit);)*
        }

        /// The layers by their names in Suricata's statistics.
        pub const LAYERS: [(Layers, &str); [$($bit),*].len()] = [$((Layers::$constant, $name)),*];
    };
}

layers! {
    0 CHDLC "chdlc",
    1 NULL "null",
    2 RAW "raw",
    3 SLL "sll",
    4 SLL2 "sll2",
    5 PPP "ppp",
    6 PPPOE "pppoe",
    7 MPLS "mpls",
    8 VN_TAG "vntag",
    9 E_TAG "etag",
    10 NSH "nsh",
    11 PROVIDER_BACKBONE "ieee8021ah",
    12 GRE "gre",
    13 ERSPAN "erspan",
    14 VXLAN "vxlan",
    15 GENEVE "geneve",
    16 TEREDO "teredo",
}

/// How a packet is wrapped in the one around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tunnel {
    /// Generic routing encapsulation (RFC 2784).
    Gre,
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
    /// RFC 4380.
    Teredo,
    /// IPv4 itself.
    Ipv4,
    /// IPv6 itself.
    Ipv6,
}

impl Tunnel {
    /// What carries the packet within this one.
    pub(crate) fn around(outer: &Packet<'_>) -> Tunnel {
        let layers = [
            (Layers::GRE, Tunnel::Gre),
            (Layers::VXLAN, Tunnel::Vxlan),
            (Layers::GENEVE, Tunnel::Geneve),
            (Layers::TEREDO, Tunnel::Teredo),
        ];
        let named = layers.into_iter().find(|(layer, _)| outer.layers.intersects(*layer)).map(|(_, tunnel)| tunnel);
        let six = outer.ip.as_ref().is_some_and(|ip| ip.version == 6);
        named.unwrap_or(if six { Tunnel::Ipv6 } else { Tunnel::Ipv4 })
    }

    /// As records have it.
    pub fn name(self) -> &'static str {
        match self {
            Tunnel::Gre => "gre tunnel",
            Tunnel::Vxlan => "vxlan encapsulation",
            Tunnel::Geneve => "geneve encapsulation",
            Tunnel::Teredo => "teredo tunnel",
            Tunnel::Ipv4 => "ipv4 tunnel",
            Tunnel::Ipv6 => "ipv6 tunnel",
        }
    }
}

impl Layers {
    /// Add the layers of another set.
    #[inline]
    pub fn insert(&mut self, other: Layers) {
        self.0 |= other.0;
    }

    /// The sets have a layer in common.
    pub fn intersects(self, other: Layers) -> bool {
        self.0 & other.0 != 0
    }

    /// None of them.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
