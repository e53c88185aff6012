//! MQTT 3.1, 3.1.1 and 5: messages, and the exchanges they make up.

mod log;
mod parser;
mod state;

pub use state::MqttState;
