//! Device status (section 2.1): how far the set-up has come.

use core::fmt;
use virtio_spec::DeviceStatus;

/// A step of the set-up. Each one keeps the bits of the steps before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The device is reset. It is done when the status reads 0.
    Reset,
    /// The device was seen.
    Acknowledge,
    /// There is a driver for it.
    Driver,
    /// The features are written.
    FeaturesOk,
    /// The queues are set up, and the device may start.
    DriverOk,
}

/// Why a set-up cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusError {
    /// The device has not done the step yet. Reset takes its time: read again. For any
    /// other step this means that the device refuses it.
    NotReached,
    /// The device wants to be reset.
    NeedsReset,
    /// The status reads as all ones: the device is gone.
    Gone,
}

impl Step {
    /// The status to write for this step.
    pub const fn status(self) -> DeviceStatus {
        match self {
            Self::Reset => DeviceStatus::empty(),
            Self::Acknowledge => DeviceStatus::ACKNOWLEDGE,
            Self::Driver => DeviceStatus::DRIVER.union(Self::Acknowledge.status()),
            Self::FeaturesOk => DeviceStatus::FEATURES_OK.union(Self::Driver.status()),
            Self::DriverOk => DeviceStatus::DRIVER_OK.union(Self::FeaturesOk.status()),
        }
    }

    /// Says whether the device has done this step, by the status that was read after it.
    pub fn check(self, read: u8) -> Result<(), StatusError> {
        if read == u8::MAX {
            return Err(StatusError::Gone);
        }
        let read = DeviceStatus::from_bits_retain(read);
        let is_reached = match self {
            Self::Reset => read.is_empty(),
            _ if read.contains(DeviceStatus::DEVICE_NEEDS_RESET) => {
                return Err(StatusError::NeedsReset);
            }
            _ => read.contains(self.status()),
        };
        match is_reached {
            true => Ok(()),
            false => Err(StatusError::NotReached),
        }
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotReached => "the device did not take the step",
            Self::NeedsReset => "the device needs a reset",
            Self::Gone => "the device is gone",
        })
    }
}

impl core::error::Error for StatusError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_keeps_the_bits_before_it() {
        let written = [
            (Step::Reset, 0),
            (Step::Acknowledge, 1),
            (Step::Driver, 3),
            (Step::FeaturesOk, 11),
            (Step::DriverOk, 15),
        ];
        for (step, bits) in written {
            assert_eq!(step.status().bits(), bits);
            assert_eq!(step.check(bits), Ok(()));
        }
    }

    #[test]
    fn reset_is_done_only_at_zero() {
        for read in 1..u8::MAX {
            assert_eq!(Step::Reset.check(read), Err(StatusError::NotReached));
        }
    }

    #[test]
    fn a_bit_that_does_not_stick_is_a_refusal() {
        assert_eq!(Step::FeaturesOk.check(3), Err(StatusError::NotReached));
        assert_eq!(Step::DriverOk.check(11), Err(StatusError::NotReached));
        assert_eq!(Step::Driver.check(2), Err(StatusError::NotReached));
    }

    #[test]
    fn trouble_is_told_apart() {
        assert_eq!(Step::DriverOk.check(0x4f), Err(StatusError::NeedsReset));
        for step in [Step::Reset, Step::DriverOk] {
            assert_eq!(step.check(0xff), Err(StatusError::Gone));
        }
    }
}
