//! Devices that are asked for something now and then: what they have in common.
//!
//! Their requests are rare and not in a hurry, so one lock is no cost, whoever waits looks at the queue himself,
//! and no queue has a vector. Who waits is called by the device's line, where it has one that can be heard, and looks by the
//! clock elsewhere. A device that breaks a rule, or does not answer, is out of use from then on: there is nothing in it that
//! would be worth getting back.
//!
//! `pieces` is a chain before it is sent, `lane` a queue whose chains own what they were given, and `device` the way there
//! and the end, and the wait.

mod device;
mod lane;
mod pieces;

pub(crate) use device::{Asked, LanePlan, Plain, Plan, Posted};
pub(crate) use pieces::{Most, Pieces};
