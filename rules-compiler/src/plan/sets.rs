//! Interned port and address sets of a plan.
//!
//! Id 0 ([`SET_ANY`]) holds everything. A set that no longer fits the 16-bit id is widened to `any`, which is a
//! superset, and counted.

use std::collections::HashMap;
use weir_contract::constants::SET_ANY;
use weir_ir::{AddressSet, PortSet};

/// All sets that the plan's records name.
#[derive(Debug, Clone)]
pub struct Sets {
    ports: Vec<PortSet>,
    port_ids: HashMap<PortSet, u16>,
    addresses: Vec<AddressSet>,
    address_ids: HashMap<AddressKey, u16>,
    /// Sets widened to `any` because ids ran out.
    pub widened: u32,
}

type AddressKey = (Vec<(std::net::Ipv4Addr, std::net::Ipv4Addr)>, Vec<(std::net::Ipv6Addr, std::net::Ipv6Addr)>);

impl Default for Sets {
    fn default() -> Self {
        Sets {
            ports: vec![PortSet::any()],
            port_ids: HashMap::new(),
            addresses: vec![AddressSet::any()],
            address_ids: HashMap::new(),
            widened: 0,
        }
    }
}

impl Sets {
    /// Id of a port set.
    pub fn port(&mut self, set: &PortSet) -> u16 {
        if set.is_any() {
            return SET_ANY;
        }
        if let Some(&id) = self.port_ids.get(set) {
            return id;
        }
        let Some(id) = next_id(self.ports.len()) else {
            self.widened += 1;
            return SET_ANY;
        };
        self.ports.push(set.clone());
        self.port_ids.insert(set.clone(), id);
        id
    }

    /// Id of an address set.
    pub fn address(&mut self, set: &AddressSet) -> u16 {
        if set.is_any() {
            return SET_ANY;
        }
        let key = (set.v4.clone(), set.v6.clone());
        if let Some(&id) = self.address_ids.get(&key) {
            return id;
        }
        let Some(id) = next_id(self.addresses.len()) else {
            self.widened += 1;
            return SET_ANY;
        };
        self.addresses.push(set.clone());
        self.address_ids.insert(key, id);
        id
    }

    /// Port sets, by id.
    pub fn ports(&self) -> &[PortSet] {
        &self.ports
    }

    /// Address sets, by id.
    pub fn addresses(&self) -> &[AddressSet] {
        &self.addresses
    }
}

fn next_id(len: usize) -> Option<u16> {
    // The last id stays unused so that "number of rows" fits 16 bits as well.
    u16::try_from(len).ok().filter(|&id| id < u16::MAX)
}
