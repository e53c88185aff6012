//! Flows that the device drops: what a running Weir is asked about them, and `weir device flows`, which asks.
//!
//! Place: between the control socket and the loop that runs frames, as `deployment` is for bundles. A request's thread waits,
//! the loop answers between two frames and never waits itself.

use crate::exit::{Failure, INPUT, INTERNAL, OrExit};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;
use weir_device::{DeviceError, PciFunction};
use weir_engine::{DeviceRuntime, DroppedFlow};

/// Longest that the loop may take to come to a question.
const PATIENCE: Duration = Duration::from_secs(10);
/// Flows of one answer.
const LISTED_MAX: usize = 2000;

/// A question to the loop, and where the answer goes.
pub enum Asked {
    /// Which flows there are.
    Flows(mpsc::SyncSender<Value>),
    /// Let this one go: was it there?
    Undo((u32, u32), mpsc::SyncSender<Result<bool, DeviceError>>),
}

impl Asked {
    /// The loop's answer; `now` is frame time.
    pub fn answer<P: PciFunction>(self, runtime: &mut DeviceRuntime<P>, now: u64) {
        // Whoever asked may have gone.
        match self {
            Asked::Flows(reply) => {
                let flows = runtime.dropped();
                let more = flows.len().saturating_sub(LISTED_MAX);
                let list: Vec<Value> = flows.take(LISTED_MAX).map(|flow| describe(flow, now)).collect();
                let _ = reply.try_send(json!({ "flows": list, "more": more }));
            }
            Asked::Undo(flow, reply) => {
                let _ = reply.try_send(runtime.undo_drop(flow));
            }
        }
    }
}

fn describe(flow: &DroppedFlow, now: u64) -> Value {
    let key = &flow.key;
    let ends = [(key.address_a, key.port_a), (key.address_b, key.port_b)];
    let [client, server] = if flow.initiator_is_a { ends } else { [ends[1], ends[0]] };
    json!({
        "flow": [flow.entry.0, flow.entry.1],
        "protocol": key.protocol,
        "client": client.0.to_string(),
        "client_port": client.1,
        "server": server.0.to_string(),
        "server_port": server.1,
        "vlan": key.vlan.iter().filter(|id| **id != 0).collect::<Vec<_>>(),
        "rejected": flow.rejected,
        "frame": flow.frame.0,
        "seconds": now.saturating_sub(flow.frame.1) / 1_000_000_000,
    })
}

/// Questions that wait for the loop.
#[derive(Default)]
pub struct Questions {
    waiting: AtomicBool,
    list: Mutex<VecDeque<Asked>>,
}

impl Questions {
    /// For the loop: the oldest question.
    pub fn take(&self) -> Option<Asked> {
        if !self.waiting.load(Ordering::Acquire) {
            return None;
        }
        let mut list = self.list.try_lock().ok()?;
        let asked = list.pop_front();
        self.waiting.store(!list.is_empty(), Ordering::Release);
        asked
    }

    fn ask<T>(&self, device: bool, question: impl FnOnce(mpsc::SyncSender<T>) -> Asked) -> Result<T, Failure> {
        if !device {
            return Err(Failure {
                code: INPUT,
                error: anyhow::anyhow!("this Weir has no device: there is no flow table in which flows are dropped"),
                remedy: Some("run it with --device sim".to_owned()),
            });
        }
        let (reply, answer) = mpsc::sync_channel(1);
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push_back(question(reply));
        self.waiting.store(true, Ordering::Release);
        answer.recv_timeout(PATIENCE).map_err(|_| Failure {
            code: INTERNAL,
            error: anyhow::anyhow!("the run does not answer: no frame comes, or it is over"),
            remedy: None,
        })
    }

    /// Which flows the device drops.
    pub fn flows(&self, device: bool) -> Result<Value, Failure> {
        self.ask(device, Asked::Flows)
    }

    /// Let one go.
    pub fn undo(&self, device: bool, flow: (u32, u32)) -> Result<Value, Failure> {
        let known = self.ask(device, |reply| Asked::Undo(flow, reply))?.or_internal()?;
        if known {
            return Ok(json!({ "flow": [flow.0, flow.1] }));
        }
        Err(Failure {
            code: INPUT,
            error: anyhow::anyhow!("flow {}:{} is not dropped", flow.0, flow.1),
            remedy: Some("`weir device flows` lists those that are".to_owned()),
        })
    }
}
