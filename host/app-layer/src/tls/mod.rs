pub struct TlsState;
