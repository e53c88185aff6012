//! Modbus over TCP (Modbus Application Protocol 1.1b3, Modbus Messaging on TCP/IP 1.0b): requests with their responses.

mod function;
mod log;
mod message;
mod state;

pub use state::ModbusState;
