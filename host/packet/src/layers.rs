//! Which layers besides IP and transport a packet's headers had, for statistics.

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
