//! What a message says, whichever version it is of.

/// Handle of an open file: 16 bytes in SMB 2, two in SMB 1.
pub(super) type Handle = [u8; 16];

/// Direction-independent identity of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub session: u64,
    pub message: u64,
}

/// The meaning of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing that matters here.
    Other,
    /// A request for which no transaction is made: it would be one of very many.
    Quiet,
    /// It could not be read.
    Malformed,
    /// Dialects that the client offers, as far as they have names; false if the list is malformed.
    Negotiate(Vec<Vec<u8>>, bool),
    /// The client's security token.
    SessionSetup(Vec<u8>),
    TreeConnect(Vec<u8>),
    /// The tree is a pipe share.
    TreeConnected(bool),
    Create(Vec<u8>),
    Created(Handle),
    Close(Handle),
    /// Position of data in the message, its length, offset in the file.
    Write(Handle, Data),
    Read(Handle, u64),
    ReadData(Data),
    /// Input of a pipe transaction.
    PipeRequest(Option<Handle>, Data),
    PipeResponse(Data),
}

/// Bytes of a file or pipe within a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Data {
    /// Where they begin.
    pub start: usize,
    /// How many they are said to be.
    pub length: usize,
    /// Their offset in the file.
    pub offset: u64,
}

/// What logs say of a message, beyond its [`Meaning`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Details {
    /// The dialect that the server chose: number of SMB 2, place in the client's list of SMB 1.
    pub dialect: Option<u16>,
    pub client_guid: Option<[u8; 16]>,
    pub server_guid: Option<[u8; 16]>,
    /// Most bytes of a read and of a write.
    pub sizes: Option<(u32, u32)>,
    pub share_type: Option<u8>,
    /// Disposition and options of a create.
    pub create: Option<(u32, u32)>,
    /// Operating system and LAN manager of client and server, as they name them in SMB 1.
    pub native: [Option<(Vec<u8>, Vec<u8>)>; 2],
    /// Creation, last access, last write, change (MS-DTYP section 2.3.3), and size.
    pub times: Option<([u64; 4], u64)>,
    /// What an SMB 2 IOCTL asks for.
    pub function: Option<u32>,
    /// A change to an open file.
    pub change: Option<(Handle, Change)>,
    /// Kind of service that was asked for in SMB 1, and the one of the tree.
    pub service: [Option<Vec<u8>>; 2],
    /// Realm and parts of the server's name of a Kerberos ticket.
    pub ticket: Option<Ticket>,
    /// The status is one of DOS (MS-CIFS section 2.2.2.4): class and code.
    pub dos: bool,
}

/// Realm and parts of the server's name.
pub(super) type Ticket = (Vec<u8>, Vec<Vec<u8>>);

/// A change to an open file (MS-FSCC section 2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Whether it goes when it is closed.
    Delete(bool),
    /// Its new name.
    Rename(Vec<u8>),
}

impl Details {
    /// What a response adds.
    pub fn add(&mut self, other: &Details) {
        self.dialect = other.dialect.or(self.dialect);
        self.server_guid = other.server_guid.or(self.server_guid);
        self.sizes = other.sizes.or(self.sizes);
        self.share_type = other.share_type.or(self.share_type);
        self.times = other.times.or(self.times);
        self.dos = other.dos;
        if other.service[1].is_some() {
            self.service[1].clone_from(&other.service[1]);
        }
        if other.native[1].is_some() {
            self.native[1].clone_from(&other.native[1]);
        }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub details: Details,
    /// Session as logs have it: the user's number in SMB 1.
    pub session: u64,
    pub version: u8,
    pub command: u16,
    pub response: bool,
    /// Status of a response.
    pub status: u32,
    /// An answer that another one will follow.
    pub interim: bool,
    pub key: Key,
    pub tree: u32,
    pub meaning: Meaning,
}
